"""The verbs as a recipe calls them: plain values in, plain values out, each call with its place in the program."""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from acc.recipes import (
    BranchRef,
    CheckpointRef,
    DatasetRef,
    EvalOutcome,
    RecipeError,
    TaskRef,
    TrainOutcome,
)
from workers.job.durable import disconnect
from workers.recipes import verbs
from workers.recipes.paths import Scope, current
from workers.recipes.record import CallLog

AT_ONCE = 16
"""The most callables of one ``parallel`` that are under way together; their jobs wait in queues anyway."""


class Context:
    """What ``Recipe.run`` is given: ``acc.recipes.RecipeContext`` on a record of what was done."""

    def __init__(self, record: CallLog) -> None:
        self._record = record

    # --- chance --------------------------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        return int(self._record.run.seed)

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers of this part of the program."""
        return self._scope().rng

    # --- data and models -----------------------------------------------------------------------------------

    def create_model(
        self,
        name: str,
        *,
        architecture: str,
        latent_dim: int,
        factor_groups: Mapping[str, tuple[int, int]] | None = None,
        image: DatasetRef | tuple[int, int, int] = (1, 32, 32),
        params: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> BranchRef:
        """Return branch ``main`` of a new experiment."""
        channels, height, width = image.shape if isinstance(image, DatasetRef) else image
        model = {
            "architecture": architecture,
            "latent_dim": latent_dim,
            "image": {"channels": channels, "height": height, "width": width},
            "factor_groups": [
                {"name": group, "start": start, "end": end}
                for group, (start, end) in (factor_groups or {}).items()
            ],
            "params": dict(params or {}),
            "seed": self.seed if seed is None else seed,
        }
        return BranchRef(**self._do(verbs.CreateModel, name=name, model=model))

    def load_dataset(self, slug: str) -> DatasetRef:
        return DatasetRef(**self._do(verbs.LoadDataset, slug=slug))

    def create_dataset(
        self,
        generator: str,
        *,
        params: Mapping[str, Any] | None = None,
        n: int | None = None,
        seed: int = 0,
        name: str = "",
    ) -> DatasetRef:
        """Return what a generator makes, made now or before."""
        args = {"generator": generator, "params": dict(params or {}), "n": n, "seed": seed, "name": name}
        return DatasetRef(**self._do(verbs.CreateDataset, **args))

    def load_checkpoint(self, checkpoint: int | str) -> CheckpointRef:
        return CheckpointRef(**self._do(verbs.LoadCheckpoint, checkpoint=checkpoint))

    # --- tasks ---------------------------------------------------------------------------------------------

    def attach_task(
        self,
        branch: BranchRef,
        task_class: str,
        dataset: DatasetRef,
        *,
        name: str = "",
        weight: float = 1.0,
        factor: str = "",
        latent_slice: tuple[int, int] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> TaskRef:
        """Return a new task of a branch."""
        args = {
            "branch": _id(branch, BranchRef),
            "task_class": task_class,
            "dataset": dataset.slug if isinstance(dataset, DatasetRef) else dataset,
            "name": name,
            "weight": weight,
            "factor": factor,
            "latent_slice": latent_slice,
            "params": dict(params or {}),
        }
        return TaskRef(**self._do(verbs.AttachTask, **args))

    def detach_all_tasks(self, branch: BranchRef) -> int:
        """Take every task off a branch."""
        return int(self._do(verbs.DetachAllTasks, branch=_id(branch, BranchRef))["count"])

    def set_weight(self, branch: BranchRef, task: TaskRef | str, weight: float) -> None:
        key = task.key if isinstance(task, TaskRef) else task
        self._do(verbs.SetWeight, branch=_id(branch, BranchRef), task=key, weight=weight)

    # --- the tree ------------------------------------------------------------------------------------------

    def save_checkpoint(self, branch: BranchRef, tag: str = "") -> CheckpointRef:
        """Return the head of a branch, tagged."""
        return CheckpointRef(**self._do(verbs.SaveCheckpoint, branch=_id(branch, BranchRef), tag=tag))

    def fork(
        self,
        source: CheckpointRef | TrainOutcome | BranchRef,
        name: str,
        *,
        tasks: str | Sequence[str] = "all",
    ) -> BranchRef:
        """Return a new branch."""
        from_branch = isinstance(source, BranchRef)
        args = {
            "checkpoint": None if from_branch else _checkpoint(source),
            "branch": _id(source, BranchRef) if from_branch else None,
            "name": name,
            "tasks": list(tasks) if isinstance(tasks, Iterable) and not isinstance(tasks, str) else tasks,
        }
        return BranchRef(**self._do(verbs.Fork, **args))

    def train(self, branch: BranchRef, steps: int, **train: Any) -> TrainOutcome:
        found = self._do(verbs.Train, branch=_id(branch, BranchRef), train={**train, "steps": steps})
        return TrainOutcome(**found)

    def evaluate(
        self,
        checkpoint: CheckpointRef | TrainOutcome,
        suite: Sequence[str] = ("metrics", "reconstructions"),
        **options: Any,
    ) -> EvalOutcome:
        args = {"checkpoint": _checkpoint(checkpoint), "suite": list(suite), "options": options}
        return EvalOutcome(**self._do(verbs.Evaluate, **args))

    def expand(
        self, checkpoint: CheckpointRef | TrainOutcome, name: str | None = None, **expansion: Any
    ) -> CheckpointRef:
        """Return a larger model's checkpoint."""
        args = {"checkpoint": _checkpoint(checkpoint), "branch_name": name, "expansion": expansion}
        return CheckpointRef(**self._do(verbs.Expand, **args))

    # --- the story -----------------------------------------------------------------------------------------

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

    def sweep(self, function: Callable[..., Any], grid: Mapping[str, Sequence[Any]]) -> list[Any]:
        """Return ``function(**point)`` of each point of a grid."""
        values = [list(each) for each in grid.values()]
        points = [dict(zip(grid, point, strict=True)) for point in itertools.product(*values)]
        return self.parallel(*(_at(function, point) for point in points))

    # --- below ---------------------------------------------------------------------------------------------

    def _do(self, verb: type[verbs.Verb], **args: Any) -> dict[str, Any]:
        ask = verb(self._record.run, _name(verb), args)
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


def _at(function: Callable[..., Any], point: Mapping[str, Any]) -> Callable[[], Any]:
    return lambda: function(**point)


def _name(verb: type[verbs.Verb]) -> str:
    """Return ``create_model`` for CreateModel."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in verb.__name__).lstrip("_")


def _id(handle: Any, kind: type[BranchRef]) -> int:
    if not isinstance(handle, kind):
        right = "what create_model or fork returned"
        raise RecipeError(f"{handle!r} is not a branch; give {right}")
    return handle.id


def _checkpoint(handle: Any) -> int:
    if isinstance(handle, TrainOutcome):
        handle = handle.checkpoint
    if not isinstance(handle, CheckpointRef):
        raise RecipeError(
            f"{handle!r} is not a checkpoint; give what save_checkpoint, train, expand or load_checkpoint returned"
        )
    return handle.id
