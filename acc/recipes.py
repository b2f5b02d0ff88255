"""Recipes: programs that build a tree of checkpoints, and the verbs they are given. Torch-free."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeAlias

import numpy as np

from acc.errors import AccError
from acc.params import clean_params, params_of

Groups: TypeAlias = Mapping[str, tuple[int, int]]


class RecipeError(AccError):
    """A verb that could not be done: what was asked for does not exist, or the job that it made failed.

    A recipe may catch it and go on; one that does not ends with its sentence.
    """


@dataclass(frozen=True)
class Handle:
    """What a verb answers with: plain values that name a thing of the site. Give it to other verbs."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class DatasetRef(Handle):
    """A dataset. ``n``: its images; ``shape``: channels, height, width; ``targets``: names of its columns."""

    id: int
    slug: str
    n: int
    shape: tuple[int, int, int]
    targets: tuple[str, ...] = ()
    content_hash: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "targets", tuple(self.targets))


@dataclass(frozen=True)
class BranchRef(Handle):
    """A branch of an experiment, by its id and its slugs."""

    id: int
    experiment: str
    slug: str

    def __str__(self) -> str:
        return f"{self.experiment}/{self.slug}"


@dataclass(frozen=True)
class TaskRef(Handle):
    """A task that is attached to a branch. ``key`` names its losses and metrics."""

    id: int
    branch: int
    key: str
    name: str


@dataclass(frozen=True)
class CheckpointRef(Handle):
    """A checkpoint. ``step``: updates since the root; ``tasks``: names of those it was trained with."""

    id: int
    branch: BranchRef
    step: int
    tag: str = ""
    sha256: str = ""
    tasks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.branch, dict):
            object.__setattr__(self, "branch", BranchRef(**self.branch))
        object.__setattr__(self, "tasks", tuple(self.tasks))


@dataclass(frozen=True)
class TrainOutcome(Handle):
    """What training came to. ``losses``: task name -> last raw loss; ``checkpoint``: the branch's new head.

    ``seconds``: how long the job trained, in its last attempt.
    """

    job: int
    step: int
    checkpoint: CheckpointRef
    losses: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.checkpoint, dict):
            object.__setattr__(self, "checkpoint", CheckpointRef(**self.checkpoint))


@dataclass(frozen=True)
class EvalOutcome(Handle):
    """What was measured. ``metrics``: how it is called -> value or None.

    ``task/name`` of a task (``digit/accuracy``); of the whole representation ``name`` (``ufr``), and where it is
    of a concept, or of a concept in a group, ``name/concept/group`` (``ufr_unified/digit/digit``). ``reasons``: of
    each that has no value, why.
    """

    job: int
    checkpoint: int
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float | None:
        """Return a metric; raises RecipeError naming those that were measured."""
        try:
            return self.metrics[name]
        except KeyError:
            known = ", ".join(sorted(self.metrics)) or "none"
            raise RecipeError(
                f"{name!r} was not measured of checkpoint {self.checkpoint}; measured: {known}"
            ) from None


@dataclass(frozen=True)
class StudyOutcome(Handle):
    """What came of a study. ``study``: its slug on the site.

    ``verdicts``: of each claim ``claim``, ``decision`` (``decided for``, ``decided against``, ``not decided yet``,
    ``cannot be decided``), ``sentence``; ``mean`` of the paired differences, ``low``, ``high``, ``wins``; ``p_holm``,
    ``n``, ``failed``, and ``more``: seeds that would decide it. ``table``: a row for each outcome and arm with
    ``mean``, ``low``, ``high`` (the t interval), ``spread``, ``n``, ``failed``. ``costs``: a row for each arm with
    ``seconds`` and ``images`` of a seed on average.
    """

    study: str
    verdicts: tuple[Mapping[str, Any], ...] = ()
    table: tuple[Mapping[str, Any], ...] = ()
    costs: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for name in ("verdicts", "table", "costs"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def verdict(self, claim: str) -> Mapping[str, Any]:
        """Return what may be said of a claim, as it was written; raises RecipeError naming those there are."""
        for each in self.verdicts:
            if each["claim"] == claim:
                return each
        known = "; ".join(each["claim"] for each in self.verdicts) or "none"
        raise RecipeError(f"{claim!r} is no claim of study {self.study}; its claims are: {known}")


class RecipeContext(ABC):
    """The verbs of a recipe. Each is done once in a run, however often the program is run to get there.

    When a worker dies, the program runs again from its first line, and every verb that was done answers from
    what is kept of it. So a recipe must make the same calls each time: it takes chance from ``rng``, and
    nothing from the clock, from files or from a thread of its own. All verbs raise RecipeError with a sentence.
    """

    @property
    @abstractmethod
    def seed(self) -> int:
        """The seed that the run was given."""

    @property
    @abstractmethod
    def rng(self) -> np.random.Generator:
        """Random numbers of this run, the same each time; a callable of ``parallel`` has its own."""

    def create_model(
        self,
        name: str,
        *,
        architecture: str,
        latent_dim: int,
        factor_groups: Groups | None = None,
        image: DatasetRef | tuple[int, int, int] = (1, 32, 32),
        params: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> BranchRef:
        """Return branch ``main`` of a new experiment; ``name`` is numbered when it is taken.

        ``factor_groups``: name -> (start, end). ``image``: the dataset whose images it reads, or their channels,
        height and width. ``seed``: of the first weights (default: the run's).
        """
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
        return BranchRef(**self._do("create_model", name=name, model=model))

    def load_dataset(self, slug: str) -> DatasetRef:
        """Return a dataset of the site by its slug."""
        return DatasetRef(**self._do("load_dataset", slug=slug))

    def create_dataset(
        self,
        generator: str,
        *,
        params: Mapping[str, Any] | None = None,
        n: int | None = None,
        seed: int = 0,
        name: str = "",
    ) -> DatasetRef:
        """Return what a generator makes of parameters and seed; one that is there already is not made again."""
        args = {"generator": generator, "params": dict(params or {}), "n": n, "seed": seed, "name": name}
        return DatasetRef(**self._do("create_dataset", **args))

    def load_checkpoint(self, checkpoint: int | str) -> CheckpointRef:
        """Return a checkpoint of the site by its id or tag."""
        return CheckpointRef(**self._do("load_checkpoint", checkpoint=checkpoint))

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
        """Return a new task of a branch, called after its class without a ``name``."""
        args = {
            "branch": _branch_id(branch),
            "task_class": task_class,
            "dataset": dataset.slug if isinstance(dataset, DatasetRef) else dataset,
            "name": name,
            "weight": weight,
            "factor": factor,
            "latent_slice": latent_slice,
            "params": dict(params or {}),
        }
        return TaskRef(**self._do("attach_task", **args))

    def detach_all_tasks(self, branch: BranchRef) -> int:
        """Take every task off a branch and return how many there were."""
        return int(self._do("detach_all_tasks", branch=_branch_id(branch))["count"])

    def set_weight(self, branch: BranchRef, task: TaskRef | str, weight: float) -> None:
        """Set the weight of a task, given itself, its key or its name."""
        key = task.key if isinstance(task, TaskRef) else task
        self._do("set_weight", branch=_branch_id(branch), task=key, weight=weight)

    def save_checkpoint(self, branch: BranchRef, tag: str = "") -> CheckpointRef:
        """Return the head of a branch, tagged."""
        return CheckpointRef(**self._do("save_checkpoint", branch=_branch_id(branch), tag=tag))

    def fork(
        self,
        source: CheckpointRef | TrainOutcome | BranchRef,
        name: str,
        *,
        tasks: str | Sequence[str] = "all",
    ) -> BranchRef:
        """Return a new branch that begins at a checkpoint, or where a branch stands.

        ``tasks``: which of those it was trained with it takes along: ``all``, ``none``, or their names or keys.
        """
        from_branch = isinstance(source, BranchRef)
        args = {
            "checkpoint": None if from_branch else _checkpoint_id(source),
            "branch": _branch_id(source) if from_branch else None,
            "name": name,
            "tasks": list(tasks) if isinstance(tasks, Iterable) and not isinstance(tasks, str) else tasks,
        }
        return BranchRef(**self._do("fork", **args))

    def train(self, branch: BranchRef, steps: int, **train: Any) -> TrainOutcome:
        """Train a branch for ``steps`` more updates; ``train``: the other fields of ``TrainSpec``."""
        args = {"branch": _branch_id(branch), "train": {**train, "steps": steps}}
        return TrainOutcome(**self._do("train", **args))

    def evaluate(
        self,
        checkpoint: CheckpointRef | TrainOutcome,
        suite: Sequence[str] = ("metrics", "reconstructions"),
        **options: Any,
    ) -> EvalOutcome:
        """Measure a checkpoint; ``suite`` of ``EVAL_PARTS``. What was measured is not repeated.

        ``options``: the other fields of ``EvalSpec``. ``dataset`` is the slug of any dataset of the site with images
        of the model's size, and ``concepts`` are those of its targets that count as factors:
        ``ctx.evaluate(trained, ("metrics", "ufr"), dataset=grid.slug, concepts=("digit", "thickness"))``.
        """
        args = {"checkpoint": _checkpoint_id(checkpoint), "suite": list(suite), "options": options}
        return EvalOutcome(**self._do("evaluate", **args))

    def expand(
        self, checkpoint: CheckpointRef | TrainOutcome, name: str | None = None, **expansion: Any
    ) -> CheckpointRef:
        """Return the checkpoint of a larger model that is grown from this one.

        It begins a new branch called ``name``, or becomes the head of the checkpoint's own. ``expansion``:
        ``where``, ``start``, ``amount``: the fields of ``acc.expansion.ExpansionSpec``.
        """
        args = {"checkpoint": _checkpoint_id(checkpoint), "branch_name": name, "expansion": expansion}
        return CheckpointRef(**self._do("expand", **args))

    def study(
        self,
        name: str,
        arms: Mapping[str, BranchRef | Mapping[str, Any]],
        *,
        seeds: int | Sequence[int],
        outcomes: Sequence[str | Mapping[str, Any]],
        claims: str | Sequence[str] = (),
        question: str = "",
        steps: int | None = None,
        stop_when_decided: bool = False,
        rests_on: str = "signs",
        alpha: float = 0.05,
        **train: Any,
    ) -> StudyOutcome:
        """Make a study, do each of its arms with each of its seeds, and return what may be said of its claims.

        ``arms``: name -> a branch, or what an arm changes of the settings of the first, which is a branch:
        ``{"train": {"lr": 0.001}, "tasks": {"kl": {"weight": 0.1}, "leakage": None}}``. Each is trained from first
        weights of its seed, for ``steps`` updates (default: as many as its branch has) by the options of its branch's
        last training, but for ``train``: other fields of ``TrainSpec``. ``outcomes``: names of metrics, or fields of
        ``acc.studies.Outcome``; a ``dataset`` is a slug. The others are those of ``acc.studies.Study``. ``name`` is
        numbered when it is taken. A seed that fails is counted, and raises nothing.
        """
        for given in arms.values():
            if not isinstance(given, BranchRef | Mapping):
                raise RecipeError(f"{given!r} is neither a branch nor what an arm changes of the first")
        args = {
            "name": name,
            "arms": [
                {"name": arm, "branch": given.id}
                if isinstance(given, BranchRef)
                else {"name": arm, "changes": given}
                for arm, given in arms.items()
            ],
            "seeds": seeds if isinstance(seeds, int) else list(seeds),
            "outcomes": [{"name": each} if isinstance(each, str) else each for each in outcomes],
            "claims": claims if isinstance(claims, str) else list(claims),
            "question": question,
            "steps": steps,
            "stop_when_decided": stop_when_decided,
            "rests_on": rests_on,
            "alpha": alpha,
            "train": train,
        }
        return StudyOutcome(**self._do("study", **args))

    @abstractmethod
    def log(self, text: str) -> None:
        """Write a line into the log of the run."""

    @abstractmethod
    def phase(self, name: str) -> AbstractContextManager[None]:
        """Name what follows: to the end of a ``with``, else to the next phase."""

    @abstractmethod
    def parallel(self, *calls: Callable[[], Any]) -> list[Any]:
        """Return what the callables return, run at once: their jobs go to whichever workers are free."""

    def sweep(self, function: Callable[..., Any], grid: Mapping[str, Sequence[Any]]) -> list[Any]:
        """Return ``function(**point)`` of each point of a grid, run at once; the last name varies fastest."""
        values = [list(each) for each in grid.values()]
        points = [dict(zip(grid, point, strict=True)) for point in itertools.product(*values)]
        return self.parallel(*(partial(function, **point) for point in points))

    @abstractmethod
    def _do(self, verb: str, **args: Any) -> dict[str, Any]:
        """Return the answer to a verb, as plain values; the verbs above call it."""


def _branch_id(handle: Any) -> int:
    if not isinstance(handle, BranchRef):
        raise RecipeError(f"{handle!r} is not a branch; give what create_model or fork returned")
    return handle.id


def _checkpoint_id(handle: Any) -> int:
    if isinstance(handle, TrainOutcome):
        handle = handle.checkpoint
    if not isinstance(handle, CheckpointRef):
        raise RecipeError(
            f"{handle!r} is not a checkpoint; give what save_checkpoint, train, expand or load_checkpoint returned"
        )
    return handle.id


class Recipe:
    """A program that builds a tree of checkpoints. Subclass it, declare ``Param``s, write ``run``.

    ``max_verbs``: calls of verbs in a run; ``max_hours``: from its first start to its end. A run that goes beyond
    either is ended with a sentence.
    """

    label: ClassVar[str] = ""
    max_verbs: ClassVar[int] = 2_000
    max_hours: ClassVar[float] = 7 * 24

    def __init__(self, **params: Any) -> None:
        for name, value in clean_params(params_of(type(self)), params).items():
            setattr(self, name, value)

    def run(self, ctx: RecipeContext) -> Any:
        """Do the work through ``ctx`` and return what is to be shown of it: JSON, a list of rows for a table."""
        raise NotImplementedError(f"{type(self).__name__} must define run(ctx)")
