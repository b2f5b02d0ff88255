"""Shapes of requests and answers, for the OpenAPI schema. What is right and wrong is decided by the services."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from acc.specs import EvalSpec, TrainSpec


class BranchRequest(BaseModel):
    """A new line of work: from a checkpoint (a fork), or from the seed."""

    experiment: str = Field(description="slug of the experiment")
    name: str
    from_checkpoint: int | None = None
    tasks: str | list[str] = Field(
        default="all",
        description="which tasks it takes along: all, none, or keys, as a list or with commas between them",
    )


class TaskRequest(BaseModel):
    """A loss to attach to a branch."""

    branch: int
    task_class: str
    dataset: str = Field(description="slug of the dataset")
    name: str = ""
    weight: float = Field(default=1.0, ge=0)
    enabled: bool = True
    latent_slice: str | tuple[int, int] | None = Field(
        default=None, description="start:end of the latent, such as 0:6; or [start, end]"
    )
    factor: str = Field(default="", description="a named range of the latent, instead of latent_slice")
    params: dict[str, Any] = Field(default_factory=dict)


class TaskChange(BaseModel):
    """What may be changed of a task, also while it is trained."""

    weight: float | None = Field(default=None, ge=0)
    enabled: bool | None = None


class TaskMove(BaseModel):
    """Where a task is to stand among those of its branch."""

    position: int = Field(ge=0, description="0 for the first; beyond the end: the last")


class TrainRequest(BaseModel):
    """Train the tasks of a branch."""

    kind: Literal["train"]
    branch: int
    train: TrainSpec


class EvaluateRequest(BaseModel):
    """Measure a checkpoint."""

    kind: Literal["evaluate"]
    checkpoint: int
    eval: EvalSpec = EvalSpec()


class ControlRequest(BaseModel):
    """Something to ask of a job.

    ``set_lr`` takes ``{"lr": x}``, ``set_clip`` ``{"grad_clip_norm": x}`` (null: none), ``set_weight``
    ``{"task": key, "weight": x}``, ``set_enabled``
    ``{"task": key, "enabled": bool}``, ``remove_task`` ``{"task": key}``; the others take nothing.
    """

    kind: Literal["pause", "resume", "stop", "set_lr", "set_clip", "set_weight", "set_enabled", "remove_task"]
    payload: dict[str, Any] = Field(default_factory=dict)


class TaskLoss(BaseModel):
    """The newest raw loss of a task in a job; null when it was not a finite number."""

    key: str
    name: str
    loss: float | None


class JobSummary(BaseModel):
    """What a list of past work shows of a job."""

    id: int
    kind: str
    title: str
    state: str
    experiment: str | None
    branch: int | None
    branch_slug: str | None
    checkpoint: int | None
    step: int
    total_steps: int
    seconds: float | None = Field(description="from its first start to its end, or to now")
    losses: list[TaskLoss] = Field(description="of train jobs")
    total: float | None = Field(description="the weighted sum of the losses")
    message: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobHistory(BaseModel):
    """A page of summaries, newest job first."""

    count: int
    next: str | None
    previous: str | None
    results: list[JobSummary]


class LossHistory(BaseModel):
    """Loss points as columns.

    ``kind`` raw: ``columns[series]`` has one value a step from ``start`` on. ``kind`` envelope:
    ``columns[series]`` has ``min``, ``max`` and ``mean``, each one value a bucket of ``bucket`` steps. Null
    stands for no value (and, in JSON alone, for an infinite one).
    """

    job: int
    attempt: int
    seq: int
    step: int
    total: int
    kind: Literal["raw", "envelope"]
    start: int
    stop: int
    bucket: int
    series: list[str]
    clock: list[list[float]] | None = None
    columns: dict[str, list[float | None] | dict[str, list[float | None]]]


class ImportRunsRequest(BaseModel):
    """Take over runs of TensorBoard or MLflow that lie on the server; those that are here are continued."""

    kind: Literal["import_runs"] = "import_runs"
    path: str = Field(description="of a folder or file below ACC_IMPORT_ROOTS")
    experiment: str = Field(default="", description="where they go; default: as the store names it")


class TrackRequest(BaseModel):
    """The beginning of a run: the first record of its journal, its digest, and whether its loop is at it."""

    run: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="what the loop calls it")
    branch: str = Field(description="experiment/branch, made where they are not there")
    config: dict[str, Any] = Field(description="what the loop was asked to do")
    steps: int | None = Field(default=None, ge=0, description="how many there will be, if that is known")
    wall: float = Field(ge=0, description="when it began, in seconds since the epoch")
    format: int = Field(description="of the journal")
    digest: str = Field(pattern="^[0-9a-f]{64}$", description="of the journal's first record")
    live: bool = Field(description="whether its loop is at it; else it is sent from its file")
    host: str = ""
    version: str = ""


class TrackedRun(BaseModel):
    """What the site has of a run. ``taken``: records, the beginning included; ``page``: where its job is shown."""

    job: int
    state: str
    taken: int
    lease_seconds: float
    page: str
