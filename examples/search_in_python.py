"""From a table to a tuned model to predictions, without the command line.

python examples/search_in_python.py [FOLDER]

About two minutes on two cores. Weights begin at random and training is short: labels are learned,
rationales are hardly begun. The rows are those of the embedded bioasq sample, made into a frame as
yours may come; with a table of your own, begin at "A table".
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from r2d_ray import DataRequest, load_splits, predict_rows, run_search

SPACE = Path(__file__).with_name("my_space.yaml")
ROWS = (700, 120, 120)  # training, validation, test
SETTINGS = {"num_samples": 3, "stage1_max_steps": 40, "max_steps": 150, "eval_steps": 50}


def sample_as_frame() -> pd.DataFrame:
    """Return the embedded sample with a line a row; `split` keeps its test rows apart."""
    splits = load_splits(DataRequest("bioasq", sample_rows=ROWS))
    return pd.DataFrame(
        [
            {
                "id": row.id,
                "group": row.group,
                "question": row.question,
                "context": row.context,
                "label": row.label,
                "rationale": next(iter(row.rationales.values()), None),
                "split": split,
            }
            for split, rows in splits.items()
            for row in rows
        ]
    )


def main(folder: Path) -> None:
    """Search, take the best model and label rows that it has not seen."""
    # A table: a row has a question, a label, and may have a context, a rationale, a group.
    frame = sample_as_frame()

    # A search: settings by their names, those of the study and those of a run alike.
    result = run_search(
        frame,
        space=SPACE,
        profile="embedded",
        storage_path=folder / "studies",
        name="from-python",
        progress=True,
        **SETTINGS,
    )
    print(f"best trial: {result['best_trial']} of {result['trials']}, in {result.best_model}")
    print(result.table[["macro_f1", "accuracy", "rouge_l"]].round(3).to_string())

    # Predictions: label, probabilities and rationale of new rows.
    test = frame[frame["split"] == "test"]
    found = predict_rows(result.best_model, test)
    right = (found["predicted_label"] == found["label"]).mean()
    print(f"right: {right:.0%} of {len(test)} test rows")
    for row in found.head(3).to_dict("records"):
        print(f"{row['id']}: {row['predicted_label']}, {row['predicted_rationale'][:80]!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "from-python"))
