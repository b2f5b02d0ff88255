"""Reads the table of runs: its columns, its rows, groups of them, and their curves."""

from accsite.apps.runs.selectors.columns import Col, all_runs, columns_of, resolve, shown_columns
from accsite.apps.runs.selectors.curves import Curves, curves
from accsite.apps.runs.selectors.groups import Group, Groups, Mean, groups
from accsite.apps.runs.selectors.table import Row, matching, part_of, rows_of, sorted_by

__all__ = [
    "Col",
    "Curves",
    "Group",
    "Groups",
    "Mean",
    "Row",
    "all_runs",
    "columns_of",
    "curves",
    "groups",
    "matching",
    "part_of",
    "resolve",
    "rows_of",
    "shown_columns",
    "sorted_by",
]
