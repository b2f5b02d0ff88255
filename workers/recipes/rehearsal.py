"""Runs a recipe's program without doing anything, to learn its phases and how much it will train."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from acc.errors import AccError
from acc.recipes import BranchRef, CheckpointRef, DatasetRef, RecipeError, TaskRef
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from workers.job.durable import disconnect
from workers.recipes.paths import Scope, current, order
from workers.recipes.record import Ask
from workers.recipes.study import Study

SECONDS = 3.0
MAX_VERBS = 5_000
NOTHING = CheckpointRef(id=0, branch=BranchRef(0, "rehearsal", "main"), step=0)


class AnyNumber(dict[str, float]):
    """Losses and metrics of a rehearsal: whatever is asked for is 0."""

    def __missing__(self, _: str) -> float:
        return 0.0

    def get(self, _: str, __: Any = None) -> Any:
        return 0.0


@dataclass(frozen=True)
class Foreseen:
    """One call that the recipe will make."""

    path: str
    verb: str
    phase: str
    steps: int
    verbs: int = 1


@dataclass
class Rehearsal:
    """Answers the calls of a recipe with made-up values; what only looks things up is done for real."""

    run: RecipeRun
    calls: list[Foreseen] = field(default_factory=list)
    over: bool = False
    open_ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def do(self, scope: Scope, ask: Ask, *, compare: bool = True) -> Mapping[str, Any]:
        """Return a made-up answer."""
        del compare
        if isinstance(ask, Study):
            seen = ask.foreseen()
            self._note(scope, ask.verb, scope.phase, seen.steps, seen.verbs)
            self.open_ended = self.open_ended or not seen.complete
            return ask.rehearsed()
        self._note(scope, ask.verb, scope.phase, int(ask.args.get("train", {}).get("steps", 0) or 0))
        if ask.verb in {"load_dataset", "load_checkpoint"}:
            return dict(getattr(ask.act(RecipeStep()), "result", {}))
        return _answers(ask)

    def open(self, scope: Scope, verb: str, args: dict[str, Any]) -> RecipeStep:
        """Return a step that is kept nowhere."""
        return RecipeStep(path=self._note(scope, verb, str(args.get("name", scope.phase)), 0))

    def close(self, step: RecipeStep) -> None:
        """Nothing is kept."""

    def plan(self, *, complete: bool) -> dict[str, Any]:
        """Return what was foreseen: phases in the order of their beginning, calls, and train steps."""
        phases: dict[str, dict[str, Any]] = {}
        for call in sorted(self.calls, key=lambda call: order(call.path)):
            if call.phase:
                phase = phases.setdefault(call.phase, {"name": call.phase, "verbs": 0, "steps": 0})
                phase["verbs"] += call.verbs * (call.verb not in {"phase", "parallel", "log"})
                phase["steps"] += call.steps
        return {
            "complete": complete and not self.open_ended,
            "verbs": sum(call.verbs for call in self.calls),
            "steps": sum(call.steps for call in self.calls),
            "phases": list(phases.values()),
        }

    def _note(self, scope: Scope, verb: str, phase: str, steps: int, verbs: int = 1) -> str:
        with self._lock:
            path = scope.next()
            self.calls.append(Foreseen(path, verb, phase, steps, verbs))
        if self.over or len(self.calls) > MAX_VERBS:
            raise RecipeError("the rehearsal is over")
        return path


def rehearse(run: RecipeRun, program: Callable[[Rehearsal], object]) -> dict[str, Any]:
    """Return the plan of a run; of a program that cannot be rehearsed, what could be foreseen.

    It cannot be if it waits for a metric to reach something, say: it is given up after SECONDS.
    """
    rehearsal = Rehearsal(run)
    done = threading.Event()

    def play() -> None:
        current.set(Scope(seed=run.seed))
        try:
            program(rehearsal)
            done.set()
        except (AccError, Exception):  # noqa: S110 - the run itself will tell it, with its line
            pass
        finally:
            disconnect()

    thread = threading.Thread(target=play, name="rehearsal", daemon=True)
    thread.start()
    thread.join(SECONDS)
    rehearsal.over = True
    return rehearsal.plan(complete=done.is_set())


def _answers(ask: Ask) -> Mapping[str, Any]:
    branch = NOTHING.branch.as_dict()
    checkpoint = NOTHING.as_dict()
    task = TaskRef(0, 0, "task", str(ask.args.get("name") or ask.args.get("task_class") or "")).as_dict()
    answers: dict[str, Mapping[str, Any]] = {
        "create_model": branch,
        "fork": branch,
        "create_dataset": DatasetRef(0, "rehearsal", int(ask.args.get("n") or 0), (1, 32, 32)).as_dict(),
        "attach_task": task,
        "detach_all_tasks": {"count": 0},
        "save_checkpoint": checkpoint,
        "expand": checkpoint,
        "train": {"job": 0, "step": 0, "checkpoint": checkpoint, "losses": AnyNumber()},
        "evaluate": {"job": 0, "checkpoint": 0, "metrics": AnyNumber()},
    }
    return answers.get(ask.verb, {})
