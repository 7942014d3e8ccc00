"""Every table of a report, from studies: the one place that decides which tables there are."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.groups import groups_of
from analysis.published import PublishedValue, read_published
from analysis.studies import Study
from analysis.tables.calibration import calibration_table
from analysis.tables.cells import without_absent
from analysis.tables.confidence import confidence_table
from analysis.tables.controls import bag_of_words_table, controls_table
from analysis.tables.cost import cost_table
from analysis.tables.differences import differences_table, other_differences_table
from analysis.tables.exposure import exposure_table, groundedness_table
from analysis.tables.grids import ablation_table, sensitivity_table
from analysis.tables.joint import joint_table
from analysis.tables.rationales import (
    alignment_table,
    equivalence_table,
    plausibility_table,
    sources_table,
)
from analysis.tables.scores import (
    classes_table,
    main_table,
    published_table,
)
from analysis.tables.selection import selection_table
from analysis.tables.settings import settings_table
from analysis.tables.sub_populations import sub_populations_table
from analysis.tables.table import Table
from analysis.tables.training import data_table, searches_table


def report_tables(
    studies: Sequence[Study], published: Sequence[PublishedValue] | None = None
) -> tuple[Table, ...]:
    """Return every table, in the order of a paper, without columns that are n/a in every row.

    A table that has nothing to show has no rows and no columns, and its one note says why.

    Args:
        studies: Opened studies.
        published: Values of others; by default those of published.csv.

    Raises:
        UserError: for records that contradict each other or their predictions.
    """
    known = read_published() if published is None else tuple(published)
    groups = [group for study in studies for group in groups_of(study)]
    arms = [group for group in groups if not group.searched]
    here = {study.info.dataset for study in studies}
    tables = (
        main_table(groups, known),
        joint_table(studies, groups),
        differences_table(groups),
        other_differences_table(groups),
        bag_of_words_table(studies, groups),
        controls_table(studies, groups),
        ablation_table(arms),
        sensitivity_table(arms),
        sources_table(groups),
        equivalence_table(groups),
        alignment_table(groups),
        exposure_table(groups),
        groundedness_table(groups),
        plausibility_table(groups),
        classes_table(groups),
        sub_populations_table(studies, groups),
        calibration_table(studies, groups),
        confidence_table(groups),
        searches_table(studies),
        selection_table(groups),
        settings_table(studies, arms),
        data_table(studies),
        cost_table(studies, groups),
        published_table([value for value in known if value.dataset in here]),
    )
    return tuple(without_absent(table) for table in tables)
