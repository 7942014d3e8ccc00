from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from r2d_ray.errors import UserError
from r2d_ray.storage import LONGEST_INT_BITS, plain_yaml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(VALUES)
def test_plain_values_are_what_yaml_says(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    assert plain_yaml(text, "x") == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "x:2: key 'a' appears twice"),
        ("a: &b [1]", "x:1: YAML anchor 'b' (allowed: plain values only)"),
        ("a: *b", "x:1: YAML anchor 'b' (allowed: plain values only)"),
        ("!!set {a}", "x:1: YAML tag 'tag:yaml.org,2002:set' (allowed: plain values only)"),
        ("[" * 2000 + "]" * 2000, "x:1: nested too deeply (allowed: 20 levels)"),
        ("{a: " * 2000, "x:1: nested too deeply (allowed: 20 levels)"),
        ("a:\n- 0x" + "f" * 1000, "x:2: an integer of 4000 bits (allowed: 1024)"),
        ("- a: 2024-13-45", "x: month must be in 1..12"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        plain_yaml(text, "x")
    assert str(caught.value) == said


def test_the_longest_integer_can_be_printed() -> None:
    longest = 2**LONGEST_INT_BITS - 1
    assert plain_yaml(hex(longest), "x") == longest
    assert str(longest)
    with pytest.raises(UserError, match=f"{LONGEST_INT_BITS + 1} bits"):
        plain_yaml(hex(longest + 1), "x")
