"""Shapes of answers about jobs, for the OpenAPI schema."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args

from pydantic import BaseModel, Field, RootModel, create_model

from accsite.apps.jobs import kinds

JobStateName = Literal["QUEUED", "CLAIMED", "RUNNING", "PAUSED", "LOST", "SUCCEEDED", "FAILED", "CANCELLED"]
JOB_STATES = list(get_args(JobStateName))


class JobState(BaseModel):
    """A job as it is now."""

    id: int
    kind: str
    title: str
    state: JobStateName
    state_label: str
    active: bool
    held: bool
    ended: bool
    attempt: int
    workers_lost: int
    queue: str
    place: int | None = Field(description="place in its queue, 1 for the next")
    experiment: str | None
    branch: int | None
    branch_slug: str | None
    checkpoint: int | None
    step: int
    total_steps: int
    progress: float | None
    rate: float | None = Field(description="steps per second")
    eta_seconds: float | None
    elapsed_seconds: float | None
    device: str
    worker: str | None
    asked: list[str] = Field(description="what it was asked and has not answered yet")
    message: str
    result: dict[str, Any]
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class JobDetail(JobState):
    """A job as it is now, and what keeps it where it is."""

    waits_for: str = Field(description="what a queued job waits for; empty if nothing hinders it")
    places: list[str] = Field(
        description="its ranks, workers and devices, in words; empty before its first claim"
    )
    last_lines: list[str] = Field(default=[], description="of a failed job: the last lines that it printed")


class LogStream(BaseModel):
    """What one rank printed in one attempt."""

    attempt: int
    rank: int
    bytes: int
    left_out: int = Field(description="bytes between its beginning and its end that were not kept")


class LogLine(BaseModel):
    """A line, and the byte at which it begins."""

    offset: int
    text: str


class JobLogPart(BaseModel):
    """A part of what a job printed; null and empty where it printed nothing yet."""

    job: int
    ended: bool
    streams: list[LogStream]
    attempt: int | None
    rank: int | None
    bytes: int
    left_out: int = Field(
        description="bytes that were not kept: of this part, or of the stream when searched"
    )
    offset: int
    next_offset: int = Field(description="ask from here on for what comes next")
    text: str
    found: int = Field(description="how many lines hold what was searched; `lines` has the last 500 of them")
    lines: list[LogLine]


def job_request() -> type[BaseModel]:
    """Return the shape of a request to queue a job: that of any kind that may be asked for, told apart by ``kind``."""
    shapes = tuple(kind.request for kind in kinds.submittable().values())
    any_of = Annotated[Union[shapes], Field(discriminator="kind")]  # type: ignore[valid-type]  # noqa: UP007
    return create_model("JobRequest", __base__=RootModel[any_of], __doc__="One unit of work to queue.")
