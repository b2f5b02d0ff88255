"""Does each call of a recipe once: by its row, or by the job that its row names."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any, Protocol, TypeVar

from acc.errors import AccError
from acc.recipes import RecipeError
from acc.text import DETAIL_CHARS, clean_data
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import TERMINAL, JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.services import recipe_steps
from accsite.apps.recipes.services.recipe_steps import Call, Done
from workers.job.durable import GivenUp, insist
from workers.job.interruption import Interrupted, Reason
from workers.recipes.ends import Ends
from workers.recipes.paths import Scope

T = TypeVar("T")
S = RecipeStep.State


class Ask(Protocol):
    """One verb with its arguments."""

    @property
    def verb(self) -> str: ...
    @property
    def args(self) -> dict[str, Any]: ...

    def act(self, step: RecipeStep) -> Done | recipe_steps.Submitted | None:
        """Do it, or submit the job that does; within the transaction that keeps the step. None: ``go_on`` does it."""
        ...

    def go_on(self, record: Record, step: RecipeStep) -> None:
        """Do what takes long, on this thread, and end the step; called again until it has ended."""
        ...

    def outcome(self, job: Job) -> Done:
        """Return what the job that was submitted came to, once it has succeeded."""
        ...


class CallLog(Protocol):
    """What keeps the calls of a recipe: the record of a run, or a rehearsal."""

    @property
    def run(self) -> RecipeRun: ...

    def do(self, scope: Scope, ask: Ask, *, compare: bool = True) -> Mapping[str, Any]: ...

    def open(self, scope: Scope, verb: str, args: dict[str, Any]) -> RecipeStep:
        """Return the step of a call that has others within it."""
        ...

    def close(self, step: RecipeStep) -> None: ...


@dataclass
class Ending:
    """Tells every thread of a recipe that it is to end."""

    reason: Reason | None = None
    event: threading.Event = field(default_factory=threading.Event)

    def ask(self, reason: Reason) -> None:
        """End, for the first reason given."""
        self.reason = self.reason or reason
        self.event.set()

    def check(self) -> None:
        if self.reason is not None:
            raise Interrupted(self.reason)


@dataclass
class Record:
    """The record of one run in the hands of one attempt. Used by all threads of the recipe.

    ``pause``: waits for a job to end, by default until one has; ``filename``: of the recipe's source in tracebacks.
    """

    run: RecipeRun
    job_id: int
    attempt: int
    filename: str
    path: str
    max_verbs: int
    ending: Ending = field(default_factory=Ending)
    pause: Callable[[], object] | None = None
    given_up: threading.Event | None = None
    verbs: int = 0
    waiting: int = 0
    spoke_at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._ends = Ends(self.ending.event)

    def do(self, scope: Scope, ask: Ask, *, compare: bool = True) -> Mapping[str, Any]:
        """Return the answer to a call: what is kept of it, or what it comes to now.

        Raises RecipeError with a sentence, Interrupted when the recipe is to end, Fenced when it is another's.
        """
        call = self.call(scope, ask.verb, ask.args)
        self._waits(1)
        try:
            step = self._find_or_begin(call, ask, compare)
            if step.state == S.RUNNING and step.job is not None:
                job = self._ended(step.job)
                step = self._finish(call, step, job, ask)
            elif step.state == S.RUNNING:
                self._go_on(call, step, ask)
        finally:
            self._waits(-1)
        if step.state != S.SUCCEEDED:
            raise RecipeError(step.message)
        return dict(step.result or {})

    def ending_is_fenced(self) -> bool:
        """Return whether the run is another's."""
        return self.ending.reason == "fenced"

    def call(self, scope: Scope, verb: str, args: dict[str, Any]) -> Call:
        """Return the next call of a scope; raises RecipeError beyond the recipe's number of verbs."""
        self.ending.check()
        with self._lock:
            self.verbs += 1
            self.spoke_at = time.monotonic()
        if self.verbs > self.max_verbs:
            raise RecipeError(
                f"the recipe made more than {self.max_verbs:,} calls and was ended; does it loop for ever? "
                "A recipe that needs more says so by max_verbs"
            )
        try:
            plain = clean_data(json.loads(json.dumps(args, allow_nan=False)), DETAIL_CHARS)
        except (TypeError, ValueError) as error:
            raise RecipeError(f"{verb}() takes numbers, text, and what verbs returned: {error}") from None
        return Call(scope.next(), verb, plain, scope.phase, self.line())

    def open(self, scope: Scope, verb: str, args: dict[str, Any]) -> RecipeStep:
        """Return the step of a call that has others within it."""
        call = self.call(scope, verb, args)
        step = self._insist(partial(recipe_steps.open_frame, self.run, self.job_id, self.attempt, call))
        self._compare(step, call)
        return step

    def close(self, step: RecipeStep) -> None:
        """Note that a step which has others within it is done."""
        if step.state == S.RUNNING:
            self._insist(partial(recipe_steps.end, self.job_id, self.attempt, step, Done()))

    def line(self) -> int | None:
        """Return the line of the recipe's source that this thread is at."""
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code.co_filename != self.filename:
            frame = frame.f_back
        return frame.f_lineno if frame is not None else None

    def _find_or_begin(self, call: Call, ask: Ask, compare: bool) -> RecipeStep:
        step = self._insist(lambda: recipe_steps.find(self.run.pk, call.path))
        if step is not None:
            self._compare(step, call if compare else Call(call.path, call.verb, step.args))
            if step.state != S.RUNNING or step.job_id is not None:
                return step
        begin = partial(recipe_steps.begin, self.run, self.job_id, self.attempt, call, ask.act)
        try:
            return self._insist(begin)
        except (Fenced, GivenUp):
            raise
        except AccError as error:
            message = f"{call.verb}(): {error}"
            self._insist(partial(recipe_steps.refuse, self.run, self.job_id, self.attempt, call, message))
            raise RecipeError(message) from error

    def _compare(self, step: RecipeStep, call: Call) -> None:
        if (step.verb, step.args) == (call.verb, dict(call.args)):
            return
        raise RecipeError(
            f"at call {call.path} the recipe now asks for {described(call.verb, call.args)}, but when the run "
            f"first came here it asked for {described(step.verb, step.args)}. A recipe must make the same calls "
            "each time it is run: take chance from ctx.rng, and nothing from the clock or from files"
        )

    def _go_on(self, call: Call, step: RecipeStep, ask: Ask) -> None:
        try:
            ask.go_on(self, step)
        except (Interrupted, Fenced, GivenUp):
            raise
        except AccError as error:
            message = f"{call.verb}(): {error}"
            self._insist(partial(recipe_steps.refuse, self.run, self.job_id, self.attempt, call, message))
            raise RecipeError(message) from error

    def _finish(self, call: Call, step: RecipeStep, job: Job, ask: Ask) -> RecipeStep:
        if job.state == JobState.SUCCEEDED:
            try:
                done = self._insist(lambda: ask.outcome(job))
                self._insist(partial(recipe_steps.end, self.job_id, self.attempt, step, done))
                return step
            except AccError as error:
                if isinstance(error, Fenced):
                    raise
                message = f"{call.verb}(): {error}"
        else:
            message = told(call.verb, job)
        self._insist(partial(recipe_steps.refuse, self.run, self.job_id, self.attempt, call, message))
        raise RecipeError(message)

    def _ended(self, job: Job) -> Job:
        """Return a job as it is at its end, waiting for it."""
        while True:
            self.ending.check()
            job = self._insist(partial(Job.objects.select_related("branch").get, pk=job.pk))
            if job.state in TERMINAL:
                return job
            if self.pause is not None:
                self.pause()
            else:
                self._ends.wait(job.pk)

    def _insist(self, write: Callable[[], T]) -> T:
        return insist(write, given_up=self.given_up)

    def _waits(self, more: int) -> None:
        with self._lock:
            self.waiting += more
            self.spoke_at = time.monotonic()


def told(verb: str, job: Job) -> str:
    """Return a sentence on a job that a verb waited for and that did not succeed."""
    reached = f" at step {job.step:,} of {job.total_steps:,}" if job.total_steps else ""
    how = "failed" if job.state == JobState.FAILED else "was stopped"
    why = f": {job.message}" if job.message and job.state == JobState.FAILED else ""
    return f"{verb}(): job {job.pk} {how}{reached}{why}"


def described(verb: str, args: Mapping[str, Any]) -> str:
    """Return a call as it may stand in a source: ``train(branch=3, steps=200)``, shortened."""
    words = ", ".join(f"{name}={value!r}" for name, value in args.items() if value not in (None, "", {}, []))
    return f"{verb}({words if len(words) <= 200 else words[:197] + '...'})"
