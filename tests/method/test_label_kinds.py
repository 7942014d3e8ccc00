"""The kinds of label: what each says of a data set and of a row, and that nobody else tells."""

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import toy_splits
from transformers import PreTrainedTokenizerBase

from r2d_ray.data.encode import tokenizer_texts
from r2d_ray.errors import UserError
from r2d_ray.method.label_kinds import CHOICES, FIXED, KINDS, OPEN, LabelKind, kind_of
from r2d_ray.method.prompts import explain_given_label_prefix
from r2d_ray.method.tokens import encode
from r2d_ray.model.t5 import train_tokenizer

PACKAGE = Path(__file__).parents[2] / "r2d_ray"
HERE = "method/label_kinds.py"
LONG = "the weather was fine and the trial helped asthma"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(tokenizer_texts(toy_splits()))


def test_a_data_set_has_the_kind_of_its_labels_and_options() -> None:
    assert kind_of(("yes", "no"), with_options=False) is FIXED
    assert kind_of((), with_options=True) is CHOICES
    assert kind_of((), with_options=False) is OPEN


def test_studies_store_these_words() -> None:
    assert {"fixed": FIXED, "choices": CHOICES, "open": OPEN} == KINDS


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_stays_itself_in_another_process(kind: LabelKind) -> None:
    assert pickle.loads(pickle.dumps(kind)) == kind
    assert [other for other in KINDS.values() if other == kind] == [kind]


@pytest.mark.parametrize(
    ("kind", "by_row", "listed", "closed"),
    [(FIXED, False, False, True), (CHOICES, True, True, True), (OPEN, True, False, False)],
    ids=KINDS,
)
def test_what_a_kind_is(kind: LabelKind, by_row: bool, listed: bool, closed: bool) -> None:
    assert (kind.by_row, kind.listed, kind.closed) == (by_row, listed, closed)


CLASSES = [(FIXED, ("yes", "no")), (CHOICES, ("A", "B", "C")), (OPEN, ())]


@pytest.mark.parametrize(("kind", "classes"), CLASSES, ids=KINDS)
def test_scores_are_over_labels_or_letters_or_nothing(
    tokenizer: PreTrainedTokenizerBase, kind: LabelKind, classes: tuple[str, ...]
) -> None:
    labels = ("yes", "no") if kind is FIXED else ()
    assert kind.classes(labels, 3) == classes
    assert kind.set_tokens(tokenizer, labels, 6, 3).classes == classes


def test_a_fixed_set_has_its_ids_once_and_its_rows_bring_none(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokens = FIXED.set_tokens(tokenizer, ("yes", "no"))
    end = tokenizer.eos_token_id
    assert tokens.targets == tuple((*encode(tokenizer, text), end) for text in ("yes", "no"))
    prefixes = [encode(tokenizer, explain_given_label_prefix(text)) for text in ("yes", "no")]
    assert list(map(list, tokens.explain_prefixes)) == prefixes
    assert tokens.room == max(map(len, prefixes))
    for label, place, text in (("no", 1, "no"), ("", -1, None), ("neither", -1, "neither")):
        row = FIXED.row_label(tokenizer, tokens, label, (), 6)
        assert (row.place, row.text, row.own.labels) == (place, text, ())


def test_labels_that_the_model_cannot_tell_apart_are_refused(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    with pytest.raises(UserError, match=r"labels 'no' and ' no ' have the same token ids"):
        FIXED.set_tokens(tokenizer, ("yes", "no", " no "))


def test_a_row_brings_the_options_that_the_model_can_tell_apart(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokens = CHOICES.set_tokens(tokenizer, (), 6, 3)
    assert (tokens.labels, tokens.targets, tokens.room) == ((), (), 0)
    options = ("gout", "Ж", "Ю", "gout")  # the tokenizer knows neither letter
    # Of texts with the same ids the first stands for all, in the table's text too.
    for label, place, text in (("gout", 0, "gout"), ("Ж", 1, "Ж"), ("Ю", 1, "Ж"), ("", -1, None)):
        row = CHOICES.row_label(tokenizer, tokens, label, options, 6)
        assert (row.place, row.text, row.own.labels) == (place, text, ("gout", "Ж"))
        longest = max(len(encode(tokenizer, explain_given_label_prefix(o))) for o in options)
        assert row.own.room == longest


def test_an_open_label_is_its_rows_own_cut_to_what_the_model_may_write(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokens = OPEN.set_tokens(tokenizer, (), 6, 0)
    assert tokens.room == len(encode(tokenizer, explain_given_label_prefix(""))) + 6
    row = OPEN.row_label(tokenizer, tokens, LONG, (), 6)
    ids = encode(tokenizer, LONG)
    assert len(ids) > 5
    assert row.own.targets == ((*ids[:5], tokenizer.eos_token_id),)
    assert row.own.labels == (tokenizer.decode(ids[:5]),)
    assert len(row.own.explain_prefixes[0]) <= tokens.room
    assert (row.place, row.text) == (0, LONG)  # the table states gold whole: scores need it
    bare = OPEN.row_label(tokenizer, tokens, "", (), 6)
    assert (bare.place, bare.text, bare.own.labels) == (-1, None, ())


def words_compared(path: Path) -> Iterator[str]:
    """Yield where a file compares or matches anything with the word of a kind."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare | ast.MatchValue):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and part.value in KINDS:
                    yield f"{path.name}:{node.lineno}"


def test_the_search_for_comparisons_finds_them(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text("a = kind != 'fixed'\nb = kind in ('open', 'x')\nc = {'choices': 1}\n")
    assert list(words_compared(source)) == ["x.py:1", "x.py:2"]


def test_no_file_tells_kinds_apart_by_their_words() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert [place for path in files for place in words_compared(path)] == []
    # `fixed` and `choices` are also keys of spaces and tables; `open` is a pull request's too.
    literal = [path for path in files if '"open"' in path.read_text(encoding="utf-8")]
    assert [path.relative_to(PACKAGE).as_posix() for path in literal] == [HERE, "model/hub.py"]
