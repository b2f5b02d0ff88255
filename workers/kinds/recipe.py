"""Runs a recipe: its program on a thread, watched by this one, which knows how it is to end."""

from __future__ import annotations

import json
import linecache
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FrameType, TracebackType
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Q

from acc.errors import InvalidInput
from acc.plugins.source import filename_of
from acc.recipes import Recipe, RecipeError
from acc.text import in_words
from acc.training.protocols import Command, CommandResult
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import ACTIVE
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.selectors import trained
from accsite.apps.recipes.services import recipe_steps, recipes
from accsite.apps.studies.models import PROGRAM
from accsite.apps.training.services import events
from workers.job import promises
from workers.job.context import JobContext
from workers.job.control import DatabaseControl
from workers.job.durable import GivenUp, disconnect, insist
from workers.job.interruption import Interrupted
from workers.job.materials import from_rows
from workers.recipes.context import Context
from workers.recipes.paths import Scope, current
from workers.recipes.record import CallLog, Record
from workers.recipes.rehearsal import rehearse
from workers.recipes.study import StudyProgram

LOOK_SECONDS = 0.1
PROGRESS_SECONDS = 1.0
IDLE_SECONDS = 120.0
"""How long a recipe may compute by itself, between two verbs, before it is taken for one that loops for ever."""
SETTLE_SECONDS = 5.0

PROGRAMS: dict[str, type[Recipe]] = {PROGRAM: StudyProgram}
"""Of ACC's own, which have no plugin source: name -> class."""

log = structlog.get_logger(__name__)


@dataclass
class Outcome:
    """What the program came to: what it returned, or the error that ended it."""

    result: Any = None
    error: BaseException | None = None


def recipe(context: JobContext) -> None:
    """Run the recipe of a job to its end, or to where it is stopped or drained."""
    job, lost = context.job, context.lease.fenced
    run = RecipeRun.objects.select_related("source", "created_by").get(pk=job.spec["run"])
    made = load(run)
    record = Record(
        run,
        job.pk,
        context.attempt,
        filename=filename_of(run.source.path, run.source.pk) if run.source else "",
        path=run.source.path if run.source else "",
        max_verbs=type(made).max_verbs,
        given_up=lost,
    )
    context.lease.when_fenced(partial(record.ending.ask, "fenced"))
    stops: list[Command] = []

    def heard(command: Command) -> None:
        if command.kind == "stop":
            stops.append(command)
            record.ending.ask("stop")

    if not run.plan:
        plan = rehearse(run, lambda rehearsal: program(made, rehearsal))
        insist(partial(recipe_steps.foresee, run, job.pk, context.attempt, plan), given_up=lost)
    with DatabaseControl(job.pk, prepare=heard):
        outcome = watch(context, record, made)
        end(context, record, outcome, stops)


def load(run: RecipeRun) -> Recipe:
    """Return the recipe of a run, of the source that it began with, or the program of ACC's own that it is."""
    if run.source is None:
        return PROGRAMS[run.recipe](**run.params)
    found = next((each for each in from_rows([run.source.pk]) if each.name == run.recipe), None)
    if found is None or not issubclass(found.cls, Recipe):
        raise InvalidInput({"recipe": f"{run.recipe!r} is not in the plugin source that the run was given"})
    return found.cls(**run.params)


def program(made: Recipe, record: CallLog) -> Any:
    """Run the recipe on this thread and return what it returns as JSON; every verb is kept by ``record``."""
    scope = Scope(seed=record.run.seed)
    before = current.set(scope)
    try:
        result = made.run(Context(record))
        if scope.open_phase is not None:
            record.close(scope.open_phase)
    finally:
        current.reset(before)
    try:
        return json.loads(json.dumps(result, default=_plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise RecipeError(f"the recipe returned what is not JSON: {error}") from None


def watch(context: JobContext, record: Record, made: Recipe) -> Outcome:
    """Run the program on a thread of its own and return what it came to; ends it when it is to end."""
    outcome = Outcome()

    def play() -> None:
        try:
            outcome.result = program(made, record)
        except BaseException as error:
            outcome.error = error
        finally:
            disconnect()

    thread = threading.Thread(target=play, name="recipe", daemon=True)
    thread.start()
    limits = Limits(record, thread, time.time() + _seconds_left(record.run, made), type(made).max_hours)
    told_at = 0.0
    while thread.is_alive():
        thread.join(LOOK_SECONDS)
        if context.interruption.reason is not None:
            record.ending.ask(context.interruption.reason)
        if record.ending.reason is not None:
            # What the program computes by itself is not waited for: this process ends, and the thread with it.
            thread.join(SETTLE_SECONDS)
            return Outcome(error=Interrupted(record.ending.reason))
        error = limits.broken()
        if error is not None:
            record.ending.ask("fenced")
            return Outcome(error=error)
        if time.monotonic() - told_at > PROGRESS_SECONDS:
            told_at = time.monotonic()
            tell_progress(record)
    return outcome


@dataclass
class Limits:
    """What a recipe may not exceed."""

    record: Record
    thread: threading.Thread
    until: float
    hours: float

    def broken(self) -> RecipeError | None:
        """Return an error that says which limit was exceeded, with the line at which the program stands."""
        record = self.record
        if time.time() > self.until:
            return RecipeError(
                f"{self._where()}the recipe took longer than its {self.hours:g} hours and was ended"
            )
        if record.waiting == 0 and time.monotonic() - record.spoke_at > IDLE_SECONDS:
            return RecipeError(
                f"{self._where()}the recipe has called no verb for {IDLE_SECONDS:g} s and was ended; does it loop for "
                "ever? Work that takes long belongs into a job"
            )
        return None

    def _where(self) -> str:
        frame: FrameType | None = sys._current_frames().get(self.thread.ident or 0)
        while frame is not None and frame.f_code.co_filename != self.record.filename:
            frame = frame.f_back
        return place(self.record, frame.f_lineno) if frame is not None else ""


def tell_progress(record: Record) -> None:
    """Write how many train steps the jobs of the run have made."""
    made, seconds = trained(record.run)
    job = Job.objects.get(pk=record.job_id)
    planned = int(record.run.plan.get("steps", 0))
    if made == job.step and job.total_steps == max(planned, made):
        return
    rate = made / seconds if made and seconds > 0 else None
    try:
        recipe_steps.progress(record.run, record.job_id, record.attempt, step=made, total=planned, rate=rate)
    except Fenced:
        record.ending.ask("fenced")


def end(context: JobContext, record: Record, outcome: Outcome, stops: list[Command]) -> None:
    """Write how the run ended."""
    pk, attempt, lost, error = context.job.pk, context.attempt, context.lease.fenced, outcome.error
    sure = partial(insist, given_up=lost)
    if isinstance(error, Interrupted):
        if error.reason == "drain":
            reason = f"{context.worker} was shut down; the recipe goes on where it was on another"
            sure(partial(lifecycle.hand_back, pk, attempt, reason))
            return
        if error.reason == "fenced":
            raise Fenced(pk, attempt)
        told = stop_jobs(record, sure)
        sure(lambda: tell_progress(record))
        for command in stops:
            sure(partial(events.record_command_result, pk, attempt, CommandResult(command, 0, ok=True)))
        promises.cancel(context, message=told)
    elif isinstance(error, Fenced | GivenUp):
        raise error
    elif error is not None:
        stop_jobs(record, sure)
        sure(lambda: tell_progress(record))
        message, detail = failure(record, error)
        log.warning("recipe_failed", error=message)
        promises.fail(context, message, detail)
    else:
        sure(partial(recipe_steps.keep_result, record.run, pk, attempt, outcome.result))
        sure(lambda: tell_progress(record))
        promises.succeed(context, {"verbs": record.verbs}, proof=played)


def stop_jobs(record: Record, sure: Callable[[Callable[[], Any]], Any]) -> str:
    """Stop the jobs that the run has under way, wait for them, and return what each of them reached in words."""
    own = Q(run=record.run) | Q(run__within__run=record.run, run__job=None)
    steps = RecipeStep.objects.filter(own, owns_job=True, job__state__in=ACTIVE)
    under_way: list[int] = sure(lambda: list(steps.values_list("job", flat=True)))
    for job in sure(lambda: list(Job.objects.filter(pk__in=under_way))):
        sure(partial(recipes.ask_to_stop, job, actor=record.run.created_by))
    until = time.monotonic() + settings.ACC_STOP_SECONDS
    while time.monotonic() < until and not record.ending_is_fenced():
        if not sure(lambda: Job.objects.active().filter(pk__in=under_way).exists()):
            break
        time.sleep(LOOK_SECONDS)
    reached = [
        f"job {job.pk} {job.get_state_display()}"
        + (f" at step {job.step:,} of {job.total_steps:,}" if job.kind == JobKind.TRAIN else "")
        for job in sure(lambda: list(Job.objects.filter(pk__in=under_way).order_by("pk")))
    ]
    return "stopped on request" + (": " + ", ".join(reached) if reached else "")


def failure(record: Record, error: BaseException) -> tuple[str, str]:
    """Return what went wrong as a sentence with its place in the source, and the traceback from there on."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != record.filename:
        frames = frames.tb_next
    detail = "".join(traceback.format_exception(type(error), error, frames, chain=False))
    lines = [each.lineno for each in traceback.extract_tb(frames) if each.filename == record.filename]
    where = place(record, lines[-1]) if lines and lines[-1] else ""
    return where + in_words(error), detail if not isinstance(error, RecipeError) or lines else ""


def place(record: Record, line: int) -> str:
    """Return a place in the source for the beginning of a sentence: file, line and the line itself."""
    code = linecache.getline(record.filename, line).strip()
    return f"{record.path}, line {line} ({code}): "


def _seconds_left(run: RecipeRun, made: Recipe) -> float:
    gone = time.time() - run.created_at.timestamp()
    return max(1.0, type(made).max_hours * 3600 - gone)


def _plain(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__}")


def played(job: Job, _result: dict[str, Any], _message: str) -> None:
    """Raise PromiseBroken if a job that the recipe submitted is still under way."""
    under_way = RecipeStep.objects.filter(run__job=job, owns_job=True, job__state__in=ACTIVE)
    if first := under_way.order_by("pk").first():
        raise promises.PromiseBroken(
            f"the recipe came to its end, but job {first.job_id} of its call {first.path} ({first.verb}) did not"
        )
