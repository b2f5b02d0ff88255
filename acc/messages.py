"""Every live message, field by field: one place for those who send it and those who read it. Free of torch and Django.

To and from open pages (``static/js/messages.js`` says the same to scripts), the headers of points, what a running job
is asked, and what a training says to the process that keeps its records. With ACC_CHECK_MESSAGES=1, as in all tests,
whoever sends a message that is not as it is said here gets BadMessage instead.
"""

from __future__ import annotations

import json
import os
from functools import cache
from inspect import get_annotations
from typing import Annotated, Any, Literal, NotRequired, TypeAlias, TypeVar, cast, get_args

from typing_extensions import TypedDict, is_typeddict

CHECKED = os.environ.get("ACC_CHECK_MESSAGES", "") == "1"

M = TypeVar("M")


class BadMessage(TypeError):
    """A message is not as it is said to be; the text names the field."""


# --- a job, as pages, API and client are told of it ----------------------------------------------------------


class Job(TypedDict):
    """A job as it is now. ``rate`` in steps per second; what is not known is None; times are ISO 8601.

    ``place`` in its queue: 1 for the next, None unless it waits. ``asked``: what it has not answered yet.
    """

    id: int
    kind: str
    title: str
    state: str
    state_label: str
    active: bool
    held: bool
    ended: bool
    attempt: int
    workers_lost: int
    queue: str
    place: int | None
    experiment: str | None
    branch: int | None
    branch_slug: str | None
    checkpoint: int | None
    step: int
    total_steps: int
    progress: float | None
    rate: float | None
    eta_seconds: float | None
    elapsed_seconds: float | None
    device: str
    worker: str | None
    asked: list[str]
    message: str
    result: dict[str, Any]
    created_at: str | None
    started_at: str | None
    finished_at: str | None


# --- to open pages -------------------------------------------------------------------------------------------


class Hint(TypedDict):
    """What a signal tells of its change beside the version: the slug of a dataset, by what was done to it."""

    added: NotRequired[str]
    renamed: NotRequired[str]
    removed: NotRequired[str]
    restored: NotRequired[str]


class Signal(TypedDict):
    """A topic has changed: who shows an older version asks for it anew. The hub hears it by Redis as it is here."""

    type: Literal["signal"]
    topic: str
    version: int
    data: Hint | None


class Versions(TypedDict):
    """The versions of the topics that a page has asked for."""

    type: Literal["versions"]
    topics: dict[str, int]


class JobUpdate(Job):
    """A job that is watched, as it is now."""

    type: Literal["job"]


class WorkerFigures(TypedDict):
    """A worker's telemetry: seconds since its last sign; by figure its text, and its percent where it is a share."""

    seen: int
    figures: dict[str, tuple[str, float | None]]


class Pulse(TypedDict):
    """Figures that change all the time, for who watches the topic ``workers``; by id of worker."""

    type: Literal["pulse"]
    topic: str
    data: dict[str, WorkerFigures]


class Ping(TypedDict):
    """The site is there; seconds since the epoch."""

    type: Literal["ping"]
    time: float


class Refused(TypedDict):
    """A topic or a job that may not be watched, or may be no longer."""

    type: Literal["refused"]
    topic: NotRequired[str]
    job: NotRequired[int]
    reason: str


class Misunderstood(TypedDict):
    """A message of the page made no sense; ``detail`` says what would."""

    type: Literal["error"]
    detail: str


ToPage: TypeAlias = Versions | Signal | JobUpdate | Pulse | Ping | Refused | Misunderstood


# --- from open pages -----------------------------------------------------------------------------------------


class Watch(TypedDict):
    """Which topics and jobs a page begins to watch, or no longer does; topics with the last version seen."""

    type: Literal["subscribe", "unsubscribe"]
    topics: NotRequired[dict[str, int] | list[str]]
    jobs: NotRequired[list[int]]


# --- headers of points (acc.wire) ----------------------------------------------------------------------------


class PointsHeader(TypedDict):
    """A block of points of a running job: steps from ``start`` on, ``wall`` their first and last second.

    ``step`` of ``total``, and steps per second: where the job is with them.
    """

    job: int
    attempt: int
    seq: int
    start: int
    wall: tuple[float, float]
    series: list[str]
    step: int
    total: int
    rate: float | None


class Frame(PointsHeader):
    """The header of a block as it was received: ``acc.wire`` adds the shape of the values."""

    rows: int
    count: int


class LossHistoryHeader(TypedDict):
    """Points of a job that were asked for: ``accsite.apps.training.selectors.loss.loss_history`` says of which steps.

    ``last`` (of an envelope): series -> [step, value]. ``clock``: [steps, seconds since the epoch].
    """

    job: int
    attempt: int
    seq: int
    step: int
    total: int
    kind: Literal["raw", "envelope"]
    start: int
    stop: int
    series: list[str]
    bucket: int
    last: NotRequired[dict[str, tuple[int, float]]]
    clock: NotRequired[tuple[list[float], list[float]]]


class LossHistory(LossHistoryHeader):
    """The same as it was received: ``acc.wire`` adds the shape of the values."""

    rows: int
    count: int


# --- what a running job is asked -----------------------------------------------------------------------------

CommandKind = Literal[
    "pause",
    "resume",
    "stop",
    "drain",
    "set_weight",
    "set_enabled",
    "set_lr",
    "set_clip",
    "add_task",
    "remove_task",
]


class Nothing(TypedDict):
    """What comes with a command that needs nothing more."""


class SetWeight(TypedDict):
    """The weight that a task, named by its key, is to have."""

    task: str
    weight: float


class SetEnabled(TypedDict):
    """Whether a task is to train."""

    task: str
    enabled: bool


class SetLr(TypedDict):
    """The learning rate from the next step on."""

    lr: float


class SetClip(TypedDict):
    """The norm that gradients are clipped at from the next step on; None: they are not."""

    grad_clip_norm: float | None


class AddTask(TypedDict):
    """A task to take in: ``acc.specs.TaskSpec`` and the ``DatasetSpec`` of what it reads, as plain data."""

    task: dict[str, Any]
    dataset: dict[str, Any]


class RemoveTask(TypedDict):
    """The key of a task to let go."""

    task: str


Payload: TypeAlias = SetWeight | SetEnabled | SetLr | SetClip | AddTask | RemoveTask | Nothing

PAYLOADS: dict[CommandKind, Any] = {
    "pause": Nothing,
    "resume": Nothing,
    "stop": Nothing,
    "drain": Nothing,
    "set_weight": SetWeight,
    "set_enabled": SetEnabled,
    "set_lr": SetLr,
    "set_clip": SetClip,
    "add_task": AddTask,
    "remove_task": RemoveTask,
}


# --- from a training to the process that keeps its records ---------------------------------------------------


class Begin(TypedDict):
    """Whose records these are."""

    say: Literal["begin"]
    job: int
    attempt: int


class Block(TypedDict):
    """A block of points; its values follow the message."""

    say: Literal["block"]
    start: int
    series: list[str]
    wall: tuple[float, float]


class Command(TypedDict):
    """``acc.training.protocols.Command`` as plain data."""

    id: int
    kind: CommandKind
    payload: dict[str, Any]
    at_step: int | None


class Answer(TypedDict):
    """What became of a command: ``acc.training.protocols.CommandResult`` as plain data."""

    say: Literal["result"]
    command: Command
    step: int
    ok: bool
    message: str
    field: str


class Alarm(TypedDict):
    """``acc.training.protocols.Alarm`` as plain data."""

    say: Literal["alarm"]
    kind: str
    step: int
    message: str
    series: str
    over: bool


class Baseline(TypedDict):
    """``acc.training.protocols.Baseline`` of a task as plain data."""

    say: Literal["baseline"]
    task: str
    loss: float
    words: str
    floor: bool


class Saving(TypedDict):
    """A checkpoint is being written to ``path``; ``Saved`` follows, of the oldest that is on its way."""

    say: Literal["saving"]
    reason: Literal["autosave", "final", "stopped", "drained", "manual"]
    step: int
    global_step: int
    path: str


class Saved(TypedDict):
    """It is written (``sha256`` and ``spec``), or the disk would not (``errno`` and ``why``), or it is ``broken``."""

    say: Literal["saved"]
    sha256: NotRequired[str]
    spec: NotRequired[dict[str, Any]]
    errno: NotRequired[int | None]
    why: NotRequired[str]
    broken: NotRequired[str]


class End(TypedDict):
    """Nothing more comes."""

    say: Literal["end"]


class Fenced(TypedDict):
    """The job is another's by now; either side says so."""

    say: Literal["fenced"]


class Kept(TypedDict):
    """All that came before the end is committed."""

    say: Literal["kept"]


class NotKept(TypedDict):
    """Why the keeper of the records writes nothing more."""

    say: Literal["unsaved", "broken"]
    why: str


ToKeeper: TypeAlias = Begin | Block | Answer | Alarm | Baseline | Saving | Saved | End | Fenced
FromKeeper: TypeAlias = Kept | Fenced | NotKept
Record: TypeAlias = ToKeeper | FromKeeper


# --- a latent in the hand: the line before the numbers, to and from a page, and to the process that answers -------


class LatentQuestion(TypedDict):
    """What a page asks: how far a latent reaches, where one begins, what is drawn of those that follow, or a file.

    ``toward`` and ``part``: by weights that are a part of the way to another checkpoint. A start is drawn by ``seed``,
    or encoded of image ``row`` of ``dataset``. ``strip``: for the film strip, which waits for no picture.
    """

    id: int
    ask: Literal["open", "start", "decode", "file"]
    checkpoint: int
    strip: NotRequired[bool]
    toward: NotRequired[int]
    part: NotRequired[float]
    seed: NotRequired[int]
    dataset: NotRequired[str]
    row: NotRequired[int]


class LatentAxis(TypedDict):
    """A factor group as one slider: see ``acc.evaluation.hand.HandAxis``."""

    name: str
    start: int
    end: int
    vector: list[float]
    centre: float
    spread: float


class LatentAnswer(TypedDict):
    """An answer: ``error``, a sentence; how far the latent reaches (``acc.evaluation.hand.Reach``); or of the numbers
    that follow what they are: so many of a latent and then an image, so many pictures. ``file``: where it is kept.
    """

    id: int | None
    error: NotRequired[str]
    shape: NotRequired[list[int]]
    image: NotRequired[list[int]]
    mean: NotRequired[list[float]]
    spread: NotRequired[list[float]]
    axes: NotRequired[list[LatentAxis]]
    prior: NotRequired[bool]
    looked_at: NotRequired[str]
    seed: NotRequired[int]
    dataset: NotRequired[str]
    row: NotRequired[int]
    images: NotRequired[int]
    numbers: NotRequired[int]
    pictures: NotRequired[int]
    file: NotRequired[str]
    bytes: NotRequired[int]


class LatentAsked(TypedDict):
    """A question as it goes on: by somebody who may see the checkpoint. ``who``: of one asker the newest counts."""

    ticket: NotRequired[str]
    who: str
    ask: Literal["open", "start", "decode", "file"]
    checkpoint: int
    sha256: str
    toward: NotRequired[int]
    part: NotRequired[float]
    seed: NotRequired[int]
    dataset: NotRequired[str]
    row: NotRequired[int]


# --- whether a message is as it is said ----------------------------------------------------------------------


def checked(kind: Any, message: M) -> M:
    """Return ``message``; where messages are checked, raise BadMessage unless it is of ``kind`` once it is JSON."""
    if CHECKED:
        try:
            text = json.dumps(message, default=str, allow_nan=False)
        except ValueError as error:
            raise BadMessage(f"{message!r:.500}: {error}") from None
        check_text(kind, text)
    return message


def check_text(kind: Any, text: str | bytes) -> None:
    """Raise BadMessage unless ``text`` is a message of ``kind`` in JSON; only where messages are checked."""
    if not CHECKED:
        return
    from pydantic import ValidationError

    try:
        _reader(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise BadMessage(f"{text!r:.500} is no {getattr(kind, '__name__', kind)}: {error}") from None


@cache
def _reader(kind: Any) -> Any:
    from pydantic import Discriminator, TypeAdapter

    for each in globals().values():
        if is_typeddict(each):
            cast(Any, each).__pydantic_config__ = {"extra": "forbid"}  # a field that nobody is told of
    kinds = get_args(kind)
    if not kinds:
        return TypeAdapter(kind)
    tag = "type" if "type" in get_annotations(kinds[0]) else "say"
    return TypeAdapter(Annotated[kind, Discriminator(tag)])
