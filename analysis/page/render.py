"""The report's page: one HTML file that holds everything it shows and asks the network for nothing.

Text from studies goes through Jinja's autoescape or, for scripts, through JSON without a `<`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from analysis import names
from analysis.page.limits import limits
from analysis.page.predictions import RIGHT_PER_RUN, Held, browser, embedded
from analysis.page.tables import on_page
from analysis.pictures.style import Picture
from analysis.studies import Study
from analysis.surest import surest_errors
from analysis.tables.cells import heading, is_numeric, shown
from analysis.tables.table import Cell, Column, Number, Table
from analysis.tables.training import place_words
from r2d_ray.errors import UserError

MAX_BYTES = 15_000_000
STATIC_BYTES = 1_500_000  # without Plotly: what goes by mail and into supplements
SLACK_BYTES = 20_000  # the table of what the browser holds, and its own words
SUREST = 8  # errors of each study that stand above the browser of predictions
COLOURS = 64  # of a picture on a static page
MAX_SVG_BYTES = 300_000  # a picture with more marks than this goes into the page as PNG

_MARKUP = re.compile(r"<(?!/?(?:b|i|br|sub|sup|extra)\s*/?>)")


@dataclass(frozen=True, slots=True)
class Content:
    """What a page shows; `pictures` stand with their written files by ending, `svg` and `png`.

    `left_out` says which pictures are not there and why; `with_text` whether what the
    rows ask is shown beside their predictions; `static` leaves out Plotly: pictures stand still.
    """

    studies: Sequence[Study]
    summary: Sequence[str]
    tables: Sequence[Table]
    pictures: Sequence[tuple[Picture, Mapping[str, Path]]]
    left_out: Sequence[str] = ()
    with_text: bool = True
    static: bool = False


def render(content: Content) -> str:
    """Return the page's HTML; predictions give way to `MAX_BYTES`, static to `STATIC_BYTES`.

    Raises:
        UserError: if tables and pictures alone are too large, or predictions cannot be read.
    """
    values = _values(content)
    bare = len(_html(values, {"runs": [], "rows": [], "items": []}, ()).encode())
    most = (STATIC_BYTES if content.static else MAX_BYTES) - SLACK_BYTES
    room = most - bare
    if room < 0:
        raise UserError(
            f"the report's page would have {bare:,} bytes even without predictions "
            f"(allowed: {most:,}; fewer studies at once)"
        )
    found = browser(content.studies, room, with_text=content.with_text)
    return _html(values, found.data, found.held)


def _values(content: Content) -> dict[str, Any]:
    """Return the template's values but for the predictions."""
    figures = not content.static and any(p.page_figure for p, _ in content.pictures)
    own = _own("report.js")
    scripts = [_plotly(), own] if figures else [own]
    return {
        "title": ", ".join(study.info.name for study in content.studies),
        "policy": _policy(scripts),
        "style": Markup(_own("report.css")),
        "scripts": [Markup(script) for script in scripts],
        "summary": [names.in_words(words) for words in content.summary],
        "limits": [(s.info.name, notes) for s in content.studies if (notes := limits(s))],
        "studies": [{"name": s.info.name, "facts": _facts(s)} for s in content.studies],
        "tables": [on_page(table) for table in content.tables],
        "surest": [(s.info.name, surest_errors(s, SUREST)) for s in content.studies],
        "empty_tables": [
            (f"table-{table.name}", f"{table.title}: {'; '.join(table.notes)}")
            for table in content.tables
            if not table.rows
        ],
        "pictures_left_out": [("", names.in_words(reason)) for reason in content.left_out],
        "pictures": [_picture(p, files, content.static) for p, files in content.pictures],
    }


def _html(values: Mapping[str, Any], data: Mapping[str, Any], held: Sequence[Held]) -> str:
    template = _environment().get_template("report.html.j2")
    return template.render(
        **values, predictions=Markup(embedded(data)), held=held, sample=_sample(held)
    )


def _sample(held: Sequence[Held]) -> str:
    """Return in words which predictions the page holds."""
    if not held:
        return "No study has predictions on the test split."
    wrong, wrong_held = sum(h.wrong for h in held), sum(h.wrong_held for h in held)
    right, right_held = sum(h.right for h in held), sum(h.right_held for h in held)
    errors = (
        f"All {wrong:,} wrong predictions on the test split"
        if wrong == wrong_held
        else f"{wrong_held:,} of {wrong:,} wrong predictions on the test split (as many as fit)"
    )
    return (
        f"{errors} come first, then {right_held:,} of {right:,} right ones: at most "
        f"{RIGHT_PER_RUN} of each run, drawn by a hash of the row's id."
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("analysis.page", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"shown": _shown, "heading": heading, "kind": _kind}
    made.filters |= {"in_words": names.in_words}
    return made


def _shown(value: Cell | Number, column: Column) -> str:
    """Return a cell in words; settings keep the names that flags and files take."""
    return names.run(shown(value)) if column.key == "method" else shown(value)


def _kind(table: Table, column: Column) -> Markup:
    """Return the class of a column's cells: words stand left, published numbers stand apart."""
    published = ["published"] if column.published else []
    names = published + ([] if is_numeric(table, column) else ["words"])
    return Markup(' class="{}"').format(" ".join(names)) if names else Markup()


def _own(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8").strip()


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script.strip()


def _policy(scripts: Sequence[str]) -> str:
    """Return a policy under which the page reaches no network and runs these scripts only."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    parts = (
        "default-src 'none'",
        f"script-src {hashes}",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(parts)


def _picture(picture: Picture, files: Mapping[str, Path], static: bool) -> dict[str, Any]:
    kind, image = "svg+xml", files["svg"].read_bytes()
    if static or len(image) > MAX_SVG_BYTES:
        png = _few_colours(files["png"]) if static else files["png"].read_bytes()
        kind, image = min(("png", png), (kind, image), key=lambda known: len(known[1]))
    figure = None if static else picture.page_figure
    return {
        "name": picture.name,
        "title": names.in_words(picture.title),
        "description": names.in_words(picture.description),
        "source": f"data:image/{kind};base64,{base64.b64encode(image).decode()}",
        "figure": Markup(embedded(_plain(figure))) if figure else None,
    }


def _few_colours(png: Path) -> bytes:
    """Return a picture as PNG with a palette: line art needs no more, and a third of the bytes."""
    small = io.BytesIO()
    with Image.open(png) as image:
        image.convert("RGB").quantize(COLOURS).save(small, "PNG", optimize=True)
    return small.getvalue()


def _plain(value: Any) -> Any:
    """Return a figure whose texts hold no markup beyond bold, italic, line break and the like.

    Plotly reads some HTML in every text, links too.
    """
    if isinstance(value, str):
        return _MARKUP.sub("&lt;", names.in_words(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _facts(study: Study) -> list[tuple[str, str]]:
    """Return what a study is, as terms and values; what its records do not say is left out."""
    info, card = study.info, study.info.data_card
    rows, origin = card.get("rows", {}), card.get("provenance", {})
    status = [record.status for record in study.records]
    states = [f"{status.count(state)} {state}" for state in ("done", "pruned", "failed")]
    facts = {
        "Kind": "comparison of methods" if study.is_comparison else f"search of {info.method}",
        "Data": f"{info.dataset}, content {info.data_hash}",
        "Source": _joined(
            {**origin, "address": place_words(str(origin.get("address", "")))},
            ("address", "licence"),
        )
        if origin
        else "",
        "Rows": ", ".join(f"{count:,} {split}" for split, count in rows.items()),
        "Labels": ", ".join(str(label) for label in card.get("labels", [])),
        "Model": _joined(info.config, ("model", "model_revision")),
        "Weights": info.random_weights or "",
        "Profile": info.profile,
        "Trials": ", ".join(text for text in states if not text.startswith("0 ")),
        "Seeds": ", ".join(str(seed) for seed in sorted({r.seed for r in study.records})),
        "Versions": ", ".join(f"{name} {version}" for name, version in info.versions.items()),
        "Commit": info.git_commit or "",
    }
    return [(term, value) for term, value in facts.items() if value]


def _joined(values: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(str(values[name]) for name in names if values.get(name) is not None)
