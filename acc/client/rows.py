"""What the API answers with, as far as programs commonly read it; the rest is there as well."""

from __future__ import annotations

from typing import Any, TypedDict

from acc.messages import Job

__all__ = ["Branch", "Checkpoint", "Dataset", "Evaluation", "Experiment", "Job", "JobLog", "Run", "Task"]


class Branch(TypedDict):
    """A named line of work in an experiment; ``head``: id of a checkpoint."""

    id: int
    experiment: str
    name: str
    slug: str
    head: int | None


class Experiment(TypedDict):
    """One model and everything grown from it."""

    id: int
    name: str
    slug: str
    owner: str | None
    visibility: str
    model: dict[str, Any]
    branches: list[Branch]


class Task(TypedDict):
    """A loss on one dataset, attached to a branch."""

    id: int
    branch: int
    key: str
    name: str
    task_class: str
    dataset: str
    weight: float
    enabled: bool


class JobLog(TypedDict):
    """A part of what a job printed; ``lines``: those that hold what was searched, each with its ``offset``."""

    job: int
    ended: bool
    streams: list[dict[str, int]]
    attempt: int | None
    rank: int | None
    bytes: int
    left_out: int
    offset: int
    next_offset: int
    text: str
    found: int
    lines: list[dict[str, Any]]


class Run(TypedDict):
    """A run of a recipe; ``job``: the one that is at it, ``result``: what the recipe returned."""

    id: int
    recipe: str
    params: dict[str, Any]
    seed: int
    state: str | None
    job: Job | None
    result: Any
    can_resume: bool


class Checkpoint(TypedDict):
    """An immutable node of an experiment's tree; ``losses``: series -> last value."""

    id: int
    experiment: str
    branch: int
    parent: int | None
    job: int | None
    kind: str
    step: int
    sha256: str
    size_bytes: int
    losses: dict[str, float]
    tag: str


class Dataset(TypedDict):
    """An immutable set of ``n`` images with targets."""

    slug: str
    name: str
    n: int
    channels: int
    height: int
    width: int
    targets: list[dict[str, Any]]


class Evaluation(TypedDict):
    """What was measured of a checkpoint, with its numbers and pictures."""

    id: int
    job: int | None
    branch: int
    checkpoint: int | None
    step: int
    metrics: list[dict[str, Any]]
    artifacts: list[dict[str, Any]]
