"""Published values: every one with its source, or an error with file and line."""

import pytest

from analysis.published import read_published
from r2d_ray.errors import UserError

HEAD = "method,dataset,metric,value,source\n"


def test_the_paper_gives_two_points_of_one_method() -> None:
    found = {(v.method, v.dataset, v.metric): v.value for v in read_published()}
    assert found == {
        ("r2d", "triage", "macro_f1"): 60.58,
        ("r2d", "pubmedqa", "macro_f1"): 60.28,
        ("r2d", "pubmedqa", "accuracy"): 96.05,
    }


def test_every_value_names_its_paper() -> None:
    assert all("2512.20074" in value.source for value in read_published())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method,dataset,value,source\n", ":1: columns method, dataset, value, source (allowed: "),
        ("", ":1: columns "),
        (HEAD + "r2d,triage,macro_f1,60\n", ":2: 4 cells"),
        (HEAD + "r2d,triage,macro_f1,60,paper,more\n", ":2: 6 cells"),
        (HEAD + "r2d,triage,macro_f1,60,\n", ":2: source is empty"),
        (HEAD + "r2d,triage,macro_f1,60,  \n", ":2: source is empty"),
        (HEAD + ",triage,macro_f1,60,paper\n", ":2: method is empty"),
        (HEAD + "r2d,triage,f1,60,paper\n", ":2: metric 'f1' (allowed: macro_f1"),
        (HEAD + "r2d,triage,macro_f1,high,paper\n", ":2: value 'high'"),
        (HEAD + "r2d,triage,macro_f1,nan,paper\n", ":2: value 'nan'"),
        (HEAD + "r2d,triage,macro_f1,101,paper\n", ":2: value '101'"),
        (HEAD + "r2d,triage,macro_f1,-1,paper\n", ":2: value '-1'"),
        (HEAD + "r2d,triage,bleu,1,a\nr2d,triage,bleu,2,b\n", ":3: r2d triage bleu appears twice"),
        (HEAD + 'r2d,triage,bleu,1,"two\nlines"\nr2d,x,bleu,2,\n', ":4: source is empty"),
        (HEAD + 'r2d,triage,bleu,1,"open\n', "(allowed: a CSV file in UTF-8)"),
    ],
)
def test_what_is_refused_and_where(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "published.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_published(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_other_bytes_and_no_file_are_refused(tmp_path) -> None:
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe")
    for name in ("bad.csv", "none.csv"):
        with pytest.raises(UserError, match="UTF-8"):
            read_published(tmp_path / name)
