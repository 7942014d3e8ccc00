"""Budgets that a comparison tries in turn, and the methods judged at each before all others."""

from __future__ import annotations

from r2d_ray.errors import UserError
from r2d_ray.study.asked import flag_of
from r2d_ray.study.settings import CompareSettings

LEARNS, READS = ("sft", "stage1_sft"), "teacher_forcing"
"""The methods whose first seeds are judged: labels are learnt (by the first of these that is
compared), labels are read."""


def check_budgets(settings: CompareSettings) -> None:
    """Raise UserError where budgets are to be tried and the gates cannot be judged."""
    if not settings.budgets:
        return
    if READS not in settings.methods or not set(LEARNS) & set(settings.methods):
        raise UserError(
            f"--methods {' '.join(settings.methods)} with --budgets: the gates judge "
            f"{' or '.join(LEARNS)}, and {READS} (allowed: --methods with both)"
        )
    for flag in ("folds", "grid", "tuned_from", "rationale_sources"):
        if getattr(settings, flag):
            raise UserError(f"{flag_of(flag)} with --budgets (allowed: one of the two)")


def at_budget(settings: CompareSettings, steps: int) -> CompareSettings:
    """Return the settings with this many steps of stage 2.

    Raises:
        UserError: if the steps are set beside the budgets.
    """
    if "max_steps" in settings.overrides:
        raise UserError(
            f"--set max_steps={settings.overrides['max_steps']} with --budgets "
            "(allowed: one of the two)"
        )
    return settings.model_copy(update={"overrides": {**settings.overrides, "max_steps": steps}})
