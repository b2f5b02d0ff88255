"""What the API answers with, field by field, as it is described in its OpenAPI schema. Times are ISO 8601."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from acc.messages import Job

__all__ = [
    "Artifact",
    "Branch",
    "Checkpoint",
    "CheckpointDetail",
    "Dataset",
    "Evaluation",
    "Experiment",
    "ImportLook",
    "ImportPreview",
    "Job",
    "JobDetail",
    "JobEvent",
    "JobLog",
    "LogLine",
    "LogStream",
    "LossHistory",
    "Metric",
    "News",
    "NewsCounts",
    "NewsItem",
    "Part",
    "Replayed",
    "Run",
    "RunDetail",
    "RunGroup",
    "RunRow",
    "StoredFile",
    "Study",
    "StudyClaim",
    "StudyDetail",
    "Target",
    "Task",
    "WaitingJob",
    "Worker",
]


class Branch(TypedDict):
    """A named line of work in an experiment; ``head``, ``forked_from``: ids of checkpoints."""

    id: int
    experiment: str
    name: str
    slug: str
    head: int | None
    forked_from: int | None
    auto_evaluate: str
    evaluate_every: int | None
    created_at: str


class Experiment(TypedDict):
    """One model and everything grown from it."""

    id: int
    name: str
    slug: str
    owner: str | None
    visibility: str
    model: dict[str, Any]
    method: dict[str, Any]
    retention: Any
    branches: list[Branch]
    created_at: str


class Task(TypedDict):
    """A loss on one dataset, attached to a branch. ``latent_slice``: [start, end), None for the whole or a factor."""

    id: int
    branch: int
    key: str
    name: str
    task_class: str
    source_removed: bool
    dataset: str
    weight: float
    enabled: bool
    latent_slice: list[int] | None
    factor: str
    params: dict[str, Any]
    position: int
    colour_slot: int
    removed_at: str | None
    created_at: str


class Worker(TypedDict):
    """A process that does jobs, as it last described itself."""

    id: int
    name: str
    hostname: str
    address: str
    device: str
    queues: Any
    state: str
    telemetry: Any
    started_at: str
    heartbeat_at: str


class JobDetail(Job):
    """A job, what it waits for, where its ranks are, and of a failed one the last lines that it printed."""

    waits_for: str
    places: list[str]
    last_lines: NotRequired[list[str]]


class JobEvent(TypedDict):
    """Something asked of a job, or that happened to it."""

    id: int
    kind: str
    payload: dict[str, Any]
    status: str
    message: str
    step: int | None
    actor: str | None
    created_at: str
    applied_at: str | None


class LogStream(TypedDict):
    """What one rank printed in one attempt; ``left_out``: bytes that were not kept."""

    attempt: int
    rank: int
    bytes: int
    left_out: int


class LogLine(TypedDict):
    """A line, and the byte at which it begins."""

    offset: int
    text: str


class JobLog(TypedDict):
    """A part of what a job printed; ``lines``: those that hold what was searched, the last of the ``found`` ones."""

    job: int
    ended: bool
    streams: list[LogStream]
    attempt: int | None
    rank: int | None
    bytes: int
    left_out: int
    offset: int
    next_offset: int
    text: str
    found: int
    lines: list[LogLine]


class LossHistory(TypedDict):
    """Loss points as columns of JSON: one value a step, or of an envelope ``min``, ``max`` and ``mean`` a bucket."""

    job: int
    attempt: int
    seq: int
    step: int
    total: int
    kind: str
    start: int
    stop: int
    bucket: int
    series: list[str]
    clock: NotRequired[list[list[float]] | None]
    columns: dict[str, list[float | None] | dict[str, list[float | None]]]


class Run(TypedDict):
    """A run of a recipe; ``job``: the one that is at it, ``result``: what the recipe returned."""

    id: int
    recipe: str
    label: str
    params: dict[str, Any]
    seed: int
    source_sha256: str
    state: str | None
    job: Job | None
    result: Any
    can_resume: bool
    created_at: str


class RunRow(TypedDict):
    """A training as a row of the table of runs; ``id`` is that of its job, ``values`` by column."""

    id: int
    experiment: str
    branch: str
    branch_id: int
    state: str
    values: dict[str, Any]


class GroupMean(TypedDict):
    """The mean of a column over the ``n`` runs of a group that have it; its 95 % interval, None of one run."""

    mean: float
    n: int
    low: float | None
    high: float | None


class RunGroup(TypedDict):
    """Runs that have the same in one column, with the means of their other columns."""

    key: str
    label: str
    n: int
    means: dict[str, GroupMean]


class RunDetail(Run):
    """A run with its phases, steps and log."""

    plan: dict[str, Any]
    phases: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    log: list[str]
    branches: list[str]


class StudyClaim(TypedDict):
    """What may be said of a claim of a study."""

    claim: str
    decision: str
    sentence: str
    p_holm: float | None
    n: int
    failed: int
    more: int | None


class Study(TypedDict):
    """A study as lists show it."""

    slug: str
    name: str
    state: str
    visibility: str
    sha256: str
    arms: list[str]
    seeds: int
    done: int
    failed: int
    planned: int
    claims: list[StudyClaim]
    created_at: str


class StudyDetail(Study):
    """A study with its plan and every number."""

    plan: dict[str, Any]
    results: list[dict[str, Any]]
    warnings: list[str]
    sweep: dict[str, Any] | None


class Checkpoint(TypedDict):
    """An immutable node of an experiment's tree; ``losses``: series -> last value."""

    id: int
    experiment: str
    branch: int
    parent: int | None
    job: int | None
    kind: str
    step: int
    job_step: int
    sha256: str
    size_bytes: int
    losses: dict[str, float | None]
    tag: str
    note: str
    starred: bool
    created_at: str


class StoredFile(TypedDict):
    """A file of a checkpoint; ``present``: whether it was not pruned."""

    name: str
    sha256: str
    bytes: int
    present: bool


class Replayed(TypedDict):
    """What a replay of a checkpoint has found."""

    job: int
    state: str
    active: bool
    current_plugins: bool
    verdict: str | None
    message: str
    checkpoint: int | None
    step: int | None
    tensor: str | None
    changes: dict[str, Any]
    finished_at: str | None


class CheckpointDetail(Checkpoint):
    """A checkpoint with everything that made it."""

    branch_slug: str
    children: list[int]
    job_title: str | None
    created_by: str | None
    files: list[StoredFile]
    metrics: dict[str, float]
    difference: dict[str, Any]
    plugins: dict[str, str]
    head_of: list[int]
    forks: list[int]
    needed: str
    expands: dict[str, Any] | None
    replay: Replayed | None
    spec: dict[str, Any]


class Target(TypedDict):
    """A target column of a dataset with its statistics: classes and their counts, or a mean and a spread."""

    name: str
    kind: str
    classes: NotRequired[int | None]
    labels: NotRequired[list[str] | None]
    counts: NotRequired[list[int]]
    min: NotRequired[float | None]
    max: NotRequired[float | None]
    mean: NotRequired[float]
    std: NotRequired[float]
    unit: NotRequired[str]


class Dataset(TypedDict):
    """An immutable set of ``n`` images with targets."""

    slug: str
    name: str
    n: int
    channels: int
    height: int
    width: int
    dtype: str
    targets: list[Target]
    units: int | None
    split: dict[str, int] | None
    provenance: dict[str, Any]
    content_hash: str
    sha256: str
    size_bytes: int
    created_by: str | None
    created_at: str
    removed_at: str | None


class ImportPreview(TypedDict):
    """Images as they will be, in one row at ``url``; captions, histograms: of their targets."""

    url: str
    n: int
    shape: list[int]
    captions: list[str]
    histograms: list[dict[str, Any]]


class ImportLook(TypedDict):
    """What a job has found in files: ``acc.data.importers.mapping`` has ``Source``, ``ImportMapping`` and ``Question``.

    errors: why the mapping does not fit, by its fields. command: options of ``manage.py import_dataset`` that say it.
    """

    job: int
    state: str
    message: str
    source: dict[str, Any] | None
    mapping: dict[str, Any] | None
    questions: list[dict[str, Any]]
    errors: dict[str, list[str]]
    preview: ImportPreview | None
    command: list[str]
    imported: str | None


class Metric(TypedDict):
    """One number with its 95 % interval and what chance gives, or the reason why there is none."""

    task_key: str
    name: str
    concept: str
    group: str
    dataset: str
    value: float | None
    low: float | None
    high: float | None
    chance: float | None
    reason: str
    higher_is_better: bool | None
    baseline: float | None
    moderate: float | None
    good: float | None


class NewsCounts(TypedDict):
    """How many of one's own news are unread and how many of them failed, and of all jobs run and wait."""

    unread: int
    failed: int
    running: int
    waiting: int


class NewsItem(TypedDict):
    """One thing that happened."""

    at: str
    state: str
    word: str
    title: str
    sentence: str
    url: str
    log: str
    unread: bool


class WaitingJob(TypedDict):
    """A job that waits, and why."""

    job: int
    title: str
    why: str


class News(NewsCounts):
    """What happened, newest first, and what waits; ``event`` and ``read_at`` say up to where."""

    event: int
    read_at: str
    news: list[NewsItem]
    waiting_jobs: list[WaitingJob]


class Part(TypedDict):
    """A part of the suite, and why it has nothing: as a whole, or at some places."""

    name: str
    reason: str
    reasons: Any


class Artifact(TypedDict):
    """One picture or JSON file; ``url`` gives its bytes."""

    id: int
    kind: str
    name: str
    sha256: str
    media_type: str
    meta: dict[str, Any]
    url: str


class Evaluation(TypedDict):
    """What was measured of a checkpoint, with its numbers and pictures."""

    id: int
    job: int | None
    branch: int
    checkpoint: int | None
    step: int
    suite: list[str]
    options: dict[str, Any]
    dataset: str
    seconds: float
    created_at: str
    parts: list[Part]
    metrics: list[Metric]
    artifacts: list[Artifact]
