"""Training in a notebook: a dataset, a few names, and a model comes back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acc.errors import InvalidInput
from acc.methods import Method, Setup, made
from acc.metrics import Metric
from acc.models import Model
from acc.params import params_of
from acc.plugins.shipped import shipped_plugins
from acc.specs import EvalSpec, ImageShape, ModelSpec, TaskSpec, TrainJobSpec, TrainSpec, parse
from acc.training.checkpoints.files import Checkpoint, Snapshot, load
from acc.training.plugin_set import PluginSet
from acc.training.protocols import Alarm, Baseline, CheckpointReason, CommandResult, Control, PointBlock
from acc.training.protocols import Snapshot as AnySnapshot
from acc.training.ranks.group import Ranks
from acc.training.task import Task
from acc.training.trainer import Trainer, TrainResult

if TYPE_CHECKING:
    from acc.data import AccDataset
    from acc.results import EvalResult

ONLY_DATASET = "data"
USUAL_MODEL, USUAL_LATENT_DIM = "FactorSlotAutoencoder", 16


class MemorySink:
    """Keeps every block, the newest checkpoint, what became of commands, alarms, and baselines by task key."""

    def __init__(self) -> None:
        self.blocks: list[PointBlock] = []
        self.checkpoints: list[tuple[AnySnapshot, CheckpointReason]] = []
        self.commands: list[CommandResult] = []
        self.alarms: list[Alarm] = []
        self.baselines: dict[str, Baseline] = {}

    def on_block(self, block: PointBlock) -> None:
        self.blocks.append(block)

    def on_checkpoint(self, snapshot: AnySnapshot, reason: CheckpointReason) -> None:
        self.checkpoints[:] = [(snapshot, reason)]

    def on_command(self, result: CommandResult) -> None:
        self.commands.append(result)

    def on_alarm(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)

    def on_baseline(self, task_key: str, value: float, words: str, floor: bool = False) -> None:
        self.baselines[task_key] = Baseline(value, words, floor)

    def history(self) -> dict[str, NDArray[np.float32]]:
        """Return series -> value of every step, NaN where a series has none."""
        if not self.blocks:
            return {}
        first, last = self.blocks[0].start, self.blocks[-1].start + self.blocks[-1].count
        names = dict.fromkeys(name for block in self.blocks for name in block.series)
        columns = {name: np.full(last - first, np.nan, dtype=np.float32) for name in names}
        for block in self.blocks:
            at = slice(block.start - first, block.start - first + block.count)
            for name, row in zip(block.series, block.values, strict=True):
                columns[name][at] = row
        return columns


class TrainRun:
    """A finished run: ``model`` in eval mode, ``result``, ``history`` by series, and its checkpoint."""

    def __init__(
        self, trainer: Trainer, result: TrainResult, sink: MemorySink, datasets: Mapping[str, AccDataset]
    ) -> None:
        self._trainer, self._sink, self._datasets = trainer, sink, datasets
        self.result = result
        self.model: Model = trainer.model.eval()
        self.history = sink.history()
        snapshot = sink.checkpoints[-1][0] if self.leads else trainer.snapshot()
        assert isinstance(snapshot, Snapshot)
        self.snapshot: Snapshot = snapshot

    @property
    def leads(self) -> bool:
        """Whether this process reports: the only one, or rank 0. The others have the model, and no history."""
        return self._trainer.state.leads

    @property
    def losses(self) -> dict[str, float]:
        """Last loss of each task by its key, and their weighted ``total``."""
        return self.result.losses

    @property
    def baselines(self) -> dict[str, Baseline]:
        """What each task's trivial predictor loses, by task key."""
        return dict(self._sink.baselines)

    @property
    def checkpoint(self) -> Checkpoint:
        """The final state, for ``train(..., start_from=run.checkpoint)``."""
        return dataclasses.replace(self.snapshot.checkpoint(), classes=self._trainer.state.classes)

    def save(self, path: str | Path) -> str:
        """Write the checkpoint as safetensors and return its sha256."""
        return self.snapshot.write(path)

    def evaluate(self, *suite: str | type[Metric], **options: Any) -> EvalResult:
        """Return metrics on held-out images, and reconstructions of a few of them; or what ``suite`` names.

        suite: parts of ``EVAL_PARTS``, and metrics of a whole checkpoint, by name or class; options: other fields of
        ``EvalSpec``. Raises InvalidInput.
        """
        from acc.evaluation import evaluate_checkpoint

        classes = PluginSet(*(each for each in suite if not isinstance(each, str)))
        classes.include(self._trainer.state.classes)
        names = tuple(each if isinstance(each, str) else each.__name__ for each in suite)
        spec = parse(EvalSpec, {**options, "suite": names} if names else options)
        return evaluate_checkpoint(self.checkpoint, self._datasets, classes, spec)


@dataclasses.dataclass(frozen=True)
class Planned:
    """A run before it begins: its job, data and classes, all names looked up and all values checked."""

    job: TrainJobSpec
    datasets: Mapping[str, AccDataset]
    classes: PluginSet
    start_from: Checkpoint | None = None

    def run(self, control: Control | None = None, ranks: Ranks | None = None) -> TrainRun:
        """Train and return the run."""
        sink = MemorySink()
        trainer = Trainer(
            self.job,
            self.datasets,
            classes=self.classes,
            sink=sink,
            control=control,
            start_from=self.start_from,
            ranks=ranks,
        )
        return TrainRun(trainer, trainer.run(), sink, self.datasets)


def train(
    data: AccDataset | Mapping[str, AccDataset],
    *,
    tasks: Sequence[str | type[Task] | Mapping[str, Any]] = (),
    method: str | type[Method] | None = None,
    model: str | Mapping[str, Any] | ModelSpec | None = None,
    latent_dim: int | None = None,
    factors: Mapping[str, int] | None = None,
    start_from: str | Path | Checkpoint | None = None,
    control: Control | None = None,
    classes: PluginSet | None = None,
    ranks: Ranks | None = None,
    model_seed: int | None = None,
    **options: Any,
) -> TrainRun:
    """Train and return the run.

    data: one dataset, or several by name (a task then says which: ``"dataset": name``).
    tasks: class names, classes, or dicts with the fields of TaskSpec (``task_class``, ``weight``, ``factor``,
    ``params``, ...). factors: name -> number of latent dimensions, laid side by side from 0. classes: task,
    model and method classes of your own that are named, beside those that come with ACC. ranks: this process is one
    of several that share each batch, as ``under_torchrun()`` gives it; all of them call this with the same.
    options: the fields of TrainSpec (``steps``, ``batch_size``, ``lr``, ``seed``, ...), and the parameters of the
    method and its architecture.
    method: a name (``"beta_vae"``) or a class, which gives model, tasks and training settings made for the first
    dataset; ``tasks`` come beside its own, and what is given of ``model``, ``latent_dim`` and options goes before what
    it says. Without one the model is a ``FactorSlotAutoencoder`` of 16 latent dimensions.
    ``seed`` (default 0) seeds all: initial weights and heads, which rows are held out, the order of the rows, and
    noise; so runs of different seeds are independent of each other but for the data. ``model_seed`` gives
    initial weights and held-out rows a seed of their own. A run that starts from a checkpoint keeps those two as the
    checkpoint has them, so that no row is trained on that was held out before, and ``seed`` is of order and noise
    alone; a ``ModelSpec`` brings its own.
    Raises InvalidInput naming the field that is wrong.
    """
    if isinstance(ranks, int):
        raise InvalidInput(
            ranks=f"{ranks} is a number; start so many processes (torchrun --nproc-per-node {ranks}) and give "
            "what under_torchrun() gives each of them"
        )
    run = planned(
        data,
        tasks=tasks,
        method=method,
        model=model,
        latent_dim=latent_dim,
        factors=factors,
        start_from=start_from,
        classes=classes,
        model_seed=model_seed,
        **options,
    )
    return run.run(control, ranks)


def planned(
    data: AccDataset | Mapping[str, AccDataset],
    *,
    tasks: Sequence[str | type[Task] | Mapping[str, Any]] = (),
    method: str | type[Method] | None = None,
    model: str | Mapping[str, Any] | ModelSpec | None = None,
    latent_dim: int | None = None,
    factors: Mapping[str, int] | None = None,
    start_from: str | Path | Checkpoint | None = None,
    classes: PluginSet | None = None,
    model_seed: int | None = None,
    **options: Any,
) -> Planned:
    """Return the run that ``train`` would do with the same; raises InvalidInput naming the field that is wrong."""
    datasets: Mapping[str, AccDataset] = data if isinstance(data, Mapping) else {ONLY_DATASET: data}
    known = PluginSet(*(task for task in tasks if isinstance(task, type)))
    if isinstance(method, type):
        known.add(method)
    if classes is not None:
        known.include(classes)
    known.include(shipped_plugins())
    first = next(iter(datasets.values()), None)
    if first is None:
        raise InvalidInput({"data": "no dataset is given; a task needs one"})
    if isinstance(start_from, str | Path):
        start_from = load(start_from)
    if start_from is not None and model_seed is not None:
        raise InvalidInput(
            {"model_seed": f"{model_seed} is refused: weights and held-out rows are those of start_from"}
        )
    if method is not None:
        named = method if isinstance(method, str) else method.__name__
        setup, options = _setup(known, known.method(named), first, options, model)
        tasks = [*setup.tasks, *tasks]
        if model is None or isinstance(model, str):
            model = {"architecture": setup.architecture, "params": setup.params}
        latent_dim = latent_dim or setup.latent_dim
    elif not tasks:
        raise InvalidInput(
            {"tasks": "no task is given, and no method that has some; a step needs at least one"}
        )
    spec = parse(TrainSpec, {"steps": 500, **options})
    first_seed = spec.seed if model_seed is None else model_seed
    if start_from is not None:
        first_seed = start_from.header.spec.model.seed
    job = TrainJobSpec(
        model=_model_spec(
            model or USUAL_MODEL, first, latent_dim or USUAL_LATENT_DIM, factors or {}, first_seed
        ),
        tasks=_task_specs(tasks, list(datasets)),
        datasets={key: dataset.spec(key) for key, dataset in datasets.items()},
        train=spec,
    )
    return Planned(job, datasets, known, start_from)


def _setup(
    known: PluginSet,
    method: type[Method],
    data: AccDataset,
    options: Mapping[str, Any],
    given: str | Mapping[str, Any] | ModelSpec | None,
) -> tuple[Setup, dict[str, Any]]:
    """Return what a method makes for ``data``, and the options of the training, its own settings among them.

    Options that are parameters of the method, or of the architecture, go there. given: the model in place of the
    method's, if there is one; its name alone takes options, what is more has its ``params``.
    """
    names = {param.name for param in params_of(method)}
    setup = made(
        method(**{name: options[name] for name in options if name in names}), data.spec(ONLY_DATASET)
    )
    if isinstance(given, str):
        setup = setup.model_copy(update={"architecture": given, "params": {}})
    takes_options = given is None or isinstance(given, str)
    architecture = known.models.get(setup.architecture) if takes_options else None
    of_model = {param.name for param in params_of(architecture)} if architecture else set()
    of_model -= names | TrainSpec.model_fields.keys()
    unknown = options.keys() - names - of_model - TrainSpec.model_fields.keys()
    if unknown:
        raise InvalidInput(
            {
                min(
                    unknown
                ): f"neither a parameter of {method.__name__} ({', '.join(sorted(names)) or 'none'}), nor of "
                f"{setup.architecture if takes_options else 'the model, whose params are given with it'} "
                f"({', '.join(sorted(of_model)) or 'none'}), nor a field of TrainSpec"
            }
        )
    params = {**setup.params, **{name: options[name] for name in options if name in of_model}}
    rest = {name: value for name, value in options.items() if name in TrainSpec.model_fields}
    return setup.model_copy(update={"params": params}), {**setup.train, **rest}


def _model_spec(
    model: str | Mapping[str, Any] | ModelSpec,
    dataset: AccDataset,
    latent_dim: int,
    factors: Mapping[str, int],
    seed: int,
) -> ModelSpec:
    if isinstance(model, ModelSpec):
        return model
    channels, height, width = dataset.images.shape[1:]
    groups, start = [], 0
    for name, size in factors.items():
        groups.append({"name": name, "start": start, "end": start + size})
        start += size
    fields: dict[str, Any] = {
        "image": ImageShape(channels=channels, height=height, width=width),
        "latent_dim": max(latent_dim, start),
        "factor_groups": groups,
        "seed": seed,
    }
    given = {"architecture": model} if isinstance(model, str) else dict(model)
    spec: ModelSpec = parse(ModelSpec, {**fields, **given}, prefix="model.")
    return spec


def _task_specs(
    tasks: Sequence[str | type[Task] | Mapping[str, Any]], datasets: Sequence[str]
) -> tuple[TaskSpec, ...]:
    specs: list[TaskSpec] = []
    for number, task in enumerate(tasks):
        fields: dict[str, Any] = (
            {"task_class": task if isinstance(task, str) else task.__name__}
            if isinstance(task, str | type)
            else dict(task)
        )
        if "task_class" not in fields:
            raise InvalidInput({f"tasks.{number}.task_class": "missing; name a task class"})
        if isinstance(fields["task_class"], type):
            fields["task_class"] = fields["task_class"].__name__
        name = str(fields["task_class"]).removesuffix("Task")
        key = name.lower()
        taken = {spec.key for spec in specs}
        defaults = {
            "key": key if key not in taken else f"{key}-{number}",
            "name": name,
            "dataset": datasets[0],
        }
        specs.append(parse(TaskSpec, {**defaults, **fields}, prefix=f"tasks.{number}."))
    return tuple(specs)
