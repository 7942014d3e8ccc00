"""What a bag of words reaches on test, and in what time: `python -m benchmarks.bag_of_words`.

The control of every study (`evaluation.controls`), without a study: on the named sets that lie in
`$R2D_DATA`, else on the embedded samples, chosen by macro-F1 on validation, a Markdown row each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from r2d_ray.data.examples import Splits
from r2d_ray.data.location import DataRequest
from r2d_ray.data.named_sets import NAMED_SETS
from r2d_ray.data.sources import load_splits
from r2d_ray.errors import UserError
from r2d_ray.evaluation.controls.bag_of_words import bag_scores, bags_of_words
from r2d_ray.evaluation.controls.labels import controls

HEADINGS = ("set", "train / validation / test", "control", "macro-F1", "accuracy", "seconds")


def lines(splits: Splits) -> Iterator[str]:
    """Yield a Markdown row for each label control of these rows."""
    sizes = " / ".join(str(len(rows)) for _, rows in splits.items())
    started = time.perf_counter()
    bags = {n: bag_scores(bag, splits) for n, bag in bags_of_words(splits, "macro_f1").items()}
    seconds = f"{time.perf_counter() - started:.1f}"
    for name, scores in {**controls(splits), **bags}.items():
        took = seconds if name in bags else ""
        numbers = f"{100 * scores['macro_f1']:.1f} | {100 * scores['accuracy']:.1f}"
        yield f"| {splits.name} | {sizes} | {name} | {numbers} | {took} |"


def sets(names: list[str]) -> Iterator[Splits]:
    """Yield these named sets: from `$R2D_DATA` where they lie there, else the embedded sample."""
    for name in names:
        try:
            yield load_splits(DataRequest(name))
        except UserError as error:
            print(f"{name}: left out: {error}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="+", default=list(NAMED_SETS), choices=NAMED_SETS)
    asked = parser.parse_args()
    print("| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|")
    for splits in sets(asked.datasets):
        print("\n".join(lines(splits)), flush=True)


if __name__ == "__main__":
    main()
