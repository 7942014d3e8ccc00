"""The documents as a site: it builds without a warning, its links lead somewhere, it is offline."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from r2d_ray.config import PROFILES, TrainConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIG = ROOT / "mkdocs.yml"
INSTALLED = all(importlib.util.find_spec(name) for name in ("mkdocs", "material", "mkdocstrings"))
needs_mkdocs = pytest.mark.skipif(not INSTALLED, reason="mkdocs: pip install '.[docs]'")
LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}
"""What a page loads by itself, by tag."""


class Page(HTMLParser):
    """A page's links, what it loads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {str(given[name]) for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag in LOADED and given.get("rel") != "canonical" and given.get(LOADED[tag]):
            self.loaded.append(str(given[LOADED[tag]]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning an error and no way out to the network."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "all_proxy")}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def nav_pages(part: object) -> Iterator[str]:
    """Yield the pages of a nav."""
    if isinstance(part, str):
        yield part
    for inner in (
        part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    ):
        yield from nav_pages(inner)


def lost(page: Path, site: Path) -> list[str]:
    """Return the internal links of a page that lead nowhere, to a missing anchor too."""
    found = []
    for link in Page(page).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        root = site if parts.path.startswith("/") else page.parent  # the former: 404.html only
        target = (root / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
        target = target / "index.html" if target.is_dir() else target
        inside = target.is_file() and site.resolve() in target.resolve().parents
        anchor = unquote(parts.fragment)
        if not inside or (anchor and anchor not in Page(target).anchors | {"__top"}):
            found.append(link)
    return found


def remote(page: Path) -> list[str]:
    """Return what a page loads from elsewhere."""
    styles = re.findall(r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)", page.read_text(encoding="utf-8"))
    return [url for url in Page(page).loaded if urlsplit(url).netloc] + styles


def test_every_page_is_in_the_nav() -> None:
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    named = list(nav_pages(config["nav"]))
    assert len(named) == len(set(named))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert there <= set(named)


@needs_mkdocs
def test_every_link_leads_somewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    assert {page.name: lost(page, site) for page in pages if lost(page, site)} == {}


@needs_mkdocs
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html")]
    assert {page.name: remote(page) for page in pages if remote(page)} == {}
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text), style.name


@needs_mkdocs
def test_the_api_pages_hold_the_public_names(site: Path) -> None:
    anchors = Page(site / "api" / "functions.html").anchors
    names = ("run_search", "run_comparison", "predict_rows")
    assert {f"r2d_ray.functions.{name}" for name in names} <= anchors
    assert {"r2d_ray.data.sources.load_splits", "r2d_ray.config.TrainConfig"} <= anchors


def test_a_lost_link_and_a_remote_script_are_found(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    page = tmp_path / "a.html"
    page.write_text(
        '<a href="b.html#there">x</a><a href="b.html#gone">x</a><a href="c.html">x</a>'
        '<a href="https://example.org">x</a><script src="//cdn.example.org/x.js"></script>'
        '<style>@font-face{src:url(https://fonts.example.org/f.woff2)}</style><img src="i.png">'
    )
    assert lost(page, tmp_path) == ["b.html#gone", "c.html"]
    assert remote(page) == ["//cdn.example.org/x.js", "https://fonts.example.org/f.woff2"]


def test_the_page_of_settings_is_what_the_code_says() -> None:
    page = runpy.run_path(str(DOCS / "generate_settings.py"))["page"]
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert text == page(), "run: python docs/generate_settings.py"


@pytest.mark.parametrize("name", TrainConfig.model_fields)
def test_the_page_of_settings_has_every_field_with_its_values(name: str) -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8").partition("## A study")[0]
    [line] = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
    cells = [cell.strip() for cell in line.split(" | ")]
    assert len(cells) == 4 + len(PROFILES)
    assert cells[-1] != "|"
    for values, cell in zip(PROFILES.values(), cells[3:-1], strict=True):
        assert bool(cell.strip()) == (name in values)
