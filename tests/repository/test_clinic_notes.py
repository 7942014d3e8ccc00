"""The synthetic clinic's export: the same at every run, learnable, and read by its own columns."""

import csv
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from r2d_ray import DataRequest, load_splits

SCRIPT = Path(__file__).parents[2] / "examples" / "clinic_notes.py"
COLUMNS = {
    "question": "note",
    "label": "triage",
    "rationale.human": "reason",
    "group": "patient",
}
SHARES = {"emergency": 0.10, "urgent": 0.22, "routine": 0.33, "self-care": 0.35}


def written(folder, *flags):
    path = folder / "notes.csv"
    subprocess.run([sys.executable, str(SCRIPT), str(path), *flags], check=True)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return written(tmp_path_factory.mktemp("clinic"))


@pytest.fixture(scope="module")
def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_columns_and_the_number_of_rows(rows):
    assert len(rows) == 600
    assert list(rows[0]) == ["id", "patient", "note", "triage", "reason", "site", "split"]
    assert all(all(row.values()) for row in rows)
    assert len({row["id"] for row in rows}) == len({row["note"] for row in rows}) == 600


def test_the_same_flags_write_the_same_file_and_another_seed_another(path, tmp_path):
    again = written(tmp_path, "--rows", "600", "--seed", "1")
    assert again.read_bytes() == path.read_bytes()
    assert written(tmp_path, "--seed", "2").read_bytes() != path.read_bytes()


def test_classes_are_imbalanced_as_calls_are(rows):
    counts = Counter(row["triage"] for row in rows)
    for name, share in SHARES.items():
        assert counts[name] / 600 == pytest.approx(share, abs=0.03)


def test_a_patient_has_one_site_and_one_split_and_many_have_several_notes(rows):
    places, notes = defaultdict(set), Counter(row["patient"] for row in rows)
    for row in rows:
        places[row["patient"]].add((row["site"], row["split"]))
    assert all(len(each) == 1 for each in places.values())
    assert sum(count > 1 for count in notes.values()) > 100
    assert {row["site"] for row in rows} == {"north", "south", "harbour"}


def test_notes_and_reasons_have_the_length_of_real_ones(rows):
    assert all(25 <= len(row["note"].split()) <= 80 for row in rows)
    assert all(row["reason"].count(".") == 2 and len(row["reason"].split()) < 30 for row in rows)


def test_the_reason_names_a_finding_of_the_note(rows):
    for row in rows:
        words = [word.lower() for word in row["reason"].split()]
        finding = " ".join(words[:3])
        assert finding in row["note"].lower()


@pytest.mark.parametrize("seed", range(4))
def test_few_rows_are_read_with_their_own_splits(tmp_path, seed):
    few = written(tmp_path, "--rows", "100", "--seed", str(seed))
    splits = load_splits(DataRequest(str(few), columns=COLUMNS))
    assert set(splits.labels) == set(SHARES)
    assert splits.dropped == {}
    assert sum(len(part) for _, part in splits.items()) == 100


def test_too_few_rows_are_refused(tmp_path):
    asked = [sys.executable, str(SCRIPT), str(tmp_path / "a.csv"), "--rows", "10"]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert (done.returncode, (tmp_path / "a.csv").exists()) == (2, False)
    assert "--rows 10: expected at least 100" in done.stderr


def test_a_bag_of_words_learns_the_triage_but_not_all_of_it(path):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    splits = load_splits(DataRequest(str(path), columns=COLUMNS))
    table = TfidfVectorizer()
    features = table.fit_transform(row.question for row in splits.train)
    model = LogisticRegression(C=10, max_iter=1000).fit(features, [r.label for r in splits.train])
    found = model.predict(table.transform(row.question for row in splits.test))
    score = f1_score([row.label for row in splits.test], found, average="macro")
    assert 0.65 < score < 0.95
