"""The verbs as a recipe calls them: plain values in, plain values out, each call with its place in the program."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from acc.recipes import RecipeContext, RecipeError
from workers.job.durable import disconnect
from workers.recipes import verbs
from workers.recipes.paths import Scope, current
from workers.recipes.record import CallLog
from workers.recipes.study import Study

VERBS = {**verbs.NAMED, "study": Study}
AT_ONCE = 16
"""The most callables of one ``parallel`` that are under way together; their jobs wait in queues anyway."""


class Context(RecipeContext):
    """What ``Recipe.run`` is given: the verbs on a record of what was done."""

    def __init__(self, record: CallLog) -> None:
        self._record = record

    @property
    def seed(self) -> int:
        return int(self._record.run.seed)

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers of this part of the program."""
        return self._scope().rng

    def log(self, text: str) -> None:
        """Write a line into the log of the run; what a replay would write differently stays as it was."""
        ask = verbs.Log(self._record.run, "log", {"text": str(text)})
        self._record.do(self._scope(), ask, compare=False)

    def phase(self, name: str) -> Phase:
        return Phase(self._record, self._scope(), name)

    def parallel(self, *calls: Callable[[], Any]) -> list[Any]:
        """Return what the callables return, run at once."""
        for call in calls:
            if not callable(call):
                raise RecipeError(
                    f"parallel() takes functions to call, such as lambda: ctx.train(...); not {call!r}"
                )
        scope = self._scope()
        step = self._record.open(scope, "parallel", {"calls": len(calls)})
        found = at_once([_in(scope.inner(step.path, n), call) for n, call in enumerate(calls, 1)])
        self._record.close(step)
        return found

    def _do(self, verb: str, **args: Any) -> dict[str, Any]:
        ask = VERBS[verb](self._record.run, verb, args)
        return dict(self._record.do(self._scope(), ask))

    def _scope(self) -> Scope:
        scope = current.get()
        if scope is None:
            raise RecipeError(
                "a verb was called on a thread that the recipe started by itself; use ctx.parallel(...), which "
                "gives each call its place in the program"
            )
        return scope


class Phase:
    """A named part of a run. Made, it has begun; it lasts to the end of its ``with``, or to the next phase."""

    def __init__(self, record: CallLog, scope: Scope, name: str) -> None:
        self._record, self._scope, self._before = record, scope, scope.phase
        if scope.open_phase is not None:
            record.close(scope.open_phase)
        scope.phase = str(name)[:120]
        self._step = scope.open_phase = record.open(scope, "phase", {"name": scope.phase})

    def __enter__(self) -> None:
        self._scope.open_phase = None  # it ends by its own ``with``

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self._record.close(self._step)
        self._scope.phase = self._before


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Return what callables return, each on a thread of its own.

    All are let finish, so that what they do is kept; then the first error, in their order, is raised.
    """
    if not calls:
        return []
    with ThreadPoolExecutor(min(len(calls), AT_ONCE), thread_name_prefix="parallel") as pool:
        futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]


def _in(scope: Scope, call: Callable[[], Any]) -> Callable[[], Any]:
    context = contextvars.copy_context()

    def run() -> Any:
        current.set(scope)
        try:
            return call()
        finally:
            disconnect()

    return lambda: context.run(run)
