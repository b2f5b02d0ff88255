"""Shapes of requests and answers, for the OpenAPI schema. What is right and wrong is decided by the services."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from acc.specs import ModelSpec, TrainJobSpec


class ExperimentRequest(BaseModel):
    """A new experiment with its first branch, ``main``."""

    name: str
    model: ModelSpec | None = Field(
        default=None, description="with a method what it says of the model goes before what the method says"
    )
    visibility: Literal["site", "private"] = "site"
    dataset: str = Field(default="", description="the branch begins with tasks on it")
    method: str = Field(
        default="", description="gives model, tasks and settings of trainings for the dataset"
    )
    method_params: dict[str, Any] = Field(
        default_factory=dict, description="its parameters; see registry/methods"
    )


class RetentionPolicy(BaseModel):
    """What pruning keeps besides what is tagged, starred or needed."""

    last: int = Field(default=3, ge=0, description="the newest of each branch")
    best: int = Field(default=1, ge=0, description="the best of the experiment by the metric")
    metric: str = "loss/total"


class ExperimentChange(BaseModel):
    """What may be changed of an experiment."""

    retention: RetentionPolicy | None


class PruneRequest(BaseModel):
    """Make room."""

    dry_run: bool = True
    policy: RetentionPolicy | None = Field(default=None, description="instead of the experiment's own")


class PruneAnswer(BaseModel):
    """What pruning did or would do."""

    policy: RetentionPolicy
    kept: dict[int, str] = Field(description="checkpoint -> why it keeps its weights")
    leaves: list[int] = Field(description="taken out of the tree; `restore` brings them back")
    weights: list[int] = Field(description="stay in the tree without their files, for good")
    bytes: int
    deletion: str | None


class Restored(BaseModel):
    """What is back."""

    checkpoints: list[int]


class DeletionAnswer(BaseModel):
    """What was deleted, and how long it can be restored."""

    deletion: str
    checkpoints: list[int]
    bytes: int
    undo_until: datetime


class TreeBranch(BaseModel):
    """A branch of a tree; ``job``: the one that is to move its head."""

    id: int
    name: str
    slug: str
    head: int | None
    forked_from: int | None
    job: int | None


Column = list[int | tuple[int, int]]


class Tree(BaseModel):
    """A tree as columns, oldest node first; node i is the i-th entry of every column, [7, 12] being twelve 7s.

    ``id``, ``job``, ``minute``: difference from the entry before. ``parent``: how many entries before the node
    its parent stands, 0 for a root. ``branch``: index into ``branches``. ``step``: difference from the parent's.
    ``kind``: a digit a node, index into ``kinds``. ``value``: as it is stored, None for none.
    """

    experiment: str
    count: int
    metric: str
    metrics: dict[str, bool] = Field(description="name -> higher is better")
    branches: list[TreeBranch]
    kinds: list[str]
    since: datetime | None
    id: Column
    parent: Column
    branch: Column
    step: Column
    kind: str
    job: Column
    minute: Column
    value: list[float | tuple[float | None, int] | None]
    tags: dict[int, str]
    alarms: list[str | tuple[str, int]] = Field(
        description="the grave ones that its job had raised when it was saved"
    )
    starred: list[int]
    pruned: list[int]
    forked: list[int]
    no_job: list[int]
    edges: dict[int, str] = Field(
        description="index -> in a few words what its specification has that its parent's has not"
    )
    pictures: dict[int, list[str | int]] = Field(
        description="index -> its newest picture: address, width and height, and those of one of its images"
    )


class StoredFile(BaseModel):
    """A file of a checkpoint; ``present``: whether it was not pruned."""

    name: str
    sha256: str
    bytes: int
    present: bool


class Replayed(BaseModel):
    """What the newest replay of a checkpoint has found."""

    job: int
    state: str
    active: bool = Field(description="whether it is still to end")
    current_plugins: bool
    verdict: Literal["same", "differs", "cannot"] | None = Field(description="null: nothing yet, or stopped")
    message: str
    checkpoint: int | None = Field(description="the first of the line that differs")
    step: int | None = Field(description="of its job, the first whose losses differ")
    tensor: str | None = Field(description="the first that differs")
    changes: dict[str, Any] = Field(
        description="what is not as it was when the checkpoint was made: plugins, data, libraries, device"
    )
    finished_at: datetime | None


class CheckpointDetail(BaseModel):
    """A checkpoint with everything that made it."""

    id: int
    experiment: str
    branch: int
    branch_slug: str
    parent: int | None
    children: list[int]
    job: int | None
    job_title: str | None
    kind: str
    step: int
    job_step: int
    tag: str
    note: str
    starred: bool
    created_at: datetime
    created_by: str | None
    sha256: str
    size_bytes: int
    losses: dict[str, float | None]
    files: list[StoredFile]
    metrics: dict[str, float] = Field(description="losses and what was measured, by the names of the tree")
    difference: dict[str, Any] = Field(description="what differs from the parent's specification")
    plugins: dict[str, str] = Field(description="class -> sha256 of the source that made it")
    head_of: list[int]
    forks: list[int]
    needed: str = Field(description="why it cannot be deleted; empty if it can")
    expands: dict[str, Any] | None = Field(description="of an expanded one: how its parent was grown")
    replay: Replayed | None = Field(description="its newest replay, null if there was none")
    spec: TrainJobSpec


class ImportAnswer(BaseModel):
    """What an import made, and what of the file could not be brought to life here."""

    experiment: str
    branch: int
    checkpoint: int
    notes: list[str]


IMPORT_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "name": {"type": "string", "description": "of the experiment"},
        "visibility": {"type": "string", "enum": ["site", "private"]},
    },
}
