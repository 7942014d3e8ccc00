"""Which columns of a table are read: those that something names, whole or by a member."""

import pytest

from r2d_ray.data.columns import parse_columns
from r2d_ray.data.reading.targets import used_columns

USED = {
    "the usual names": ("question,label,context,id,group,split,choices", "", ""),
    "a rationale": ("question,label,rationale", "site", ""),
    "rationales as flat columns": ("question,label,rationale.a,rationale.b", "rationals.x", ""),
    "rationales as an object": ("question,label,rationales", "", ""),
    "renamed": ("q,label", "question,context2", "question=q"),
    "a member of an object": ("notes,question,label", "note", "context=notes.text"),
    "a flat name with a dot": ("notes.text,question,label", "text", "context=notes.text"),
    "a member of a member": ("a,a.b,question,label", "b", "context=a.b.c"),
    "every member": ("why,question,label", "rationale,rationales", "rationale.*=why.*"),
    "every flat member": ("why.a,why.b,question,label", "whys.a", "rationale.*=why.*"),
    "a named rationale takes the place of the usual ones": ("r,label", "rationales", "rationale=r"),
}


@pytest.mark.parametrize("case", USED)
def test_used_columns(case):
    used, unused, columns = USED[case]
    names = [name for name in f"{unused},{used}".split(",") if name]
    assert used_columns(names, parse_columns(columns)) == used.split(",")
