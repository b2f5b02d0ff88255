"""Reads the table of runs: its columns, its rows, and groups of them."""

from accsite.apps.runs.selectors.columns import Col, all_runs, columns_of, resolve, shown_columns
from accsite.apps.runs.selectors.groups import Group, Groups, Mean, groups
from accsite.apps.runs.selectors.table import Row, matching, part_of, rows_of, sorted_by

__all__ = [
    "Col",
    "Group",
    "Groups",
    "Mean",
    "Row",
    "all_runs",
    "columns_of",
    "groups",
    "matching",
    "part_of",
    "resolve",
    "rows_of",
    "shown_columns",
    "sorted_by",
]
