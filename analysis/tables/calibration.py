"""The calibration table: how far label probabilities can be believed, before and after fitting."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.groups import Group, Score
from analysis.studies import Study
from analysis.tables.score_rows import control_rows, score_table
from analysis.tables.table import Table

CALIBRATION = (
    Score("ece", "ECE, %"),
    Score("ece_calibrated", "ECE calibrated, %"),
    Score("brier", "Brier", 1.0, 3),
    Score("brier_calibrated", "Brier calibrated", 1.0, 3),
    Score("nll", "NLL, nats", 1.0, 3),
    Score("nll_calibrated", "NLL calibrated, nats", 1.0, 3),
    Score("temperature", "Temperature", 1.0, 2),
    Score("mean_cost", "Mean cost", 1.0, 3),
    Score("mean_cost_decided", "Mean cost, decided by cost", 1.0, 3),
    Score("macro_f1_decided", "Macro-F1, decided by cost, %"),
    Score("out_of_set_rate", "Out of set, %"),
    Score("generated_out_of_set_rate", "Out of set, generated, %"),
    Score("generated_agreement", "Generated = chosen, %"),
)
FITTED = "calibrated: after a temperature that was fitted on validation"
TITLE = "Calibration of the label probabilities, and outputs outside the label set"


def calibration_table(studies: Sequence[Study], groups: Sequence[Group]) -> Table:
    """Return the calibration of every model over seeds, then of controls with probabilities."""
    found = (row for study in studies for row in control_rows(study, CALIBRATION))
    controls = [row for row in found if "ece" in row]
    reason = "no run has test scores"
    table = score_table("calibration", TITLE, groups, CALIBRATION, reason, controls)
    fitted = any("temperature" in row for row in table.rows)
    return Table(
        table.name,
        table.title,
        table.columns,
        table.rows,
        (*table.notes, FITTED) if fitted else table.notes,
    )
