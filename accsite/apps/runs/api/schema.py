"""What the API answers about runs, field by field."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class RunRow(BaseModel):
    """A run: one training, with its values in the columns that were asked for."""

    id: int = Field(description="of its job")
    experiment: str
    branch: str
    branch_id: int
    state: str
    values: dict[str, Any] = Field(description="column -> number, text or time; without those it has not")


class RunPage(BaseModel):
    """Runs in the order asked for."""

    count: int
    next: str | None
    previous: str | None
    columns: list[str]
    results: list[RunRow]


class RunColumn(BaseModel):
    """A column of the table of runs."""

    name: str
    kind: str = Field(description="number, text, state or time")
    family: str


class RunColumns(BaseModel):
    """The columns of the runs that one may see: what every run has, then metrics, losses, parameters."""

    columns: list[RunColumn]


class GroupMean(BaseModel):
    """The mean of a column over the runs of a group that have a value; low, high: 95 % interval by Student's t."""

    mean: float
    n: int
    low: float | None
    high: float | None


class RunGroup(BaseModel):
    """Runs that have the same in one column."""

    key: str
    label: str
    n: int
    means: dict[str, GroupMean]


class RunGroups(BaseModel):
    """All groups of the runs that were asked for."""

    by: str
    groups: list[RunGroup]
