"""The state of a training: all that a step reads and changes, and that a checkpoint keeps.

It makes single steps, lets tasks come and go between them, and begins from a checkpoint and gives one. What is done
with the steps (the loop, the records, the orders) is the ``Trainer``'s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from acc import combinations, rng
from acc.errors import CheckpointError, InvalidInput, PluginFailed
from acc.models import Model, build
from acc.specs import DatasetSpec, TaskSpec, TrainJobSpec, held_out_as
from acc.training import passes
from acc.training.batch import Indices, OnDevice, Resident, Stream, TrainingRows
from acc.training.checkpoints.extra_state import ExtraState
from acc.training.checkpoints.files import Checkpoint, Snapshot, load
from acc.training.checkpoints.header import Header
from acc.training.checkpoints.restore import load_model
from acc.training.checkpoints.versions import versions
from acc.training.context import JobFacts
from acc.training.devices import DeviceManager
from acc.training.failures import TaskFailed
from acc.training.losses.early_stop import EarlyStop
from acc.training.losses.windows import WINDOW_STEPS
from acc.training.optimizers import Optimizers, groups_of
from acc.training.plugin_set import PluginSet
from acc.training.protocols import PointBlock
from acc.training.ranks.group import Ranks, sized
from acc.training.settings import torch_settings
from acc.training.split import Split, split_of
from acc.training.step import JointSchedule, Plan, SampledSchedule, Schedule, StepResult, TaskGroup, Updates
from acc.training.streaming import Streamed
from acc.training.task import JointTask
from acc.training.taskset import Entry, TaskSet

if TYPE_CHECKING:
    from acc.data import AccDataset

TWIN_ROWS = 64


class TrainState:
    """Model, tasks with their heads, optimizer, learning rate, random states and positions in the data of one job.

    ``start_from``, ``resume_from``, ``ranks``: as of the ``Trainer``. ``like``: a state on the same datasets, whose
    copies on the device are used. The constructor raises InvalidInput or CheckpointError and leaves nothing behind.
    ``step``: updates made by the job. ``skipped``: those of them that were left out. ``harmless``: what no
    checkpoint keeps, though the proof went on equally without it, or an alarm has told it. ``unmeasured``: task key ->
    why the proof could not measure it, as long as no alarm has told it.
    """

    def __init__(
        self,
        job: TrainJobSpec,
        datasets: Mapping[str, AccDataset],
        *,
        classes: PluginSet,
        start_from: str | Path | Checkpoint | None = None,
        resume_from: str | Path | Checkpoint | None = None,
        device: str | None = None,
        ranks: Ranks | None = None,
        like: TrainState | None = None,
    ) -> None:
        if start_from is not None and resume_from is not None:
            raise InvalidInput({"resume_from": "give start_from or resume_from, not both"})
        resumed = _checkpoint(resume_from)
        origin = resumed or _checkpoint(start_from)
        job = sized(job, ranks)
        if origin is not None:
            job = held_out_as(job, origin.header.spec)
        self.job, self.train, self.classes, self.ranks = job, job.train, classes, ranks
        wanted = device or (str(ranks.device) if ranks is not None else job.train.device)
        self.device = torch.device(DeviceManager().resolve(wanted))
        passes.check(self.train, self.device)
        self.precision = passes.precision_on(self.device, self.train.precision)
        self.threads = self.train.threads or (resumed.header.threads if resumed else torch.get_num_threads())
        self.datasets = datasets
        self.origin = {"start_from": None if resumed else origin, "resume_from": resumed}
        self.model: Model = build(job.model, classes.models)
        self.model.to(self.device).train()
        if self.train.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.extra = ExtraState(self.model)
        if origin is not None:
            load_model(self.model, origin, self.extra)
        self.step, self._start_global_step = 0, 0
        self.lr, self.clip = self.train.lr, self.train.grad_clip_norm
        self.skipped = 0
        self.harmless: frozenset[str] = frozenset()
        self.unmeasured: dict[str, str] = {}
        self._offsets: dict[str, int] = {}
        self._rng: dict[str, Tensor] | None = None
        self._rng_at_end: dict[str, Tensor] | None = None
        self._streams: dict[str, Stream] = {}
        self._splits: dict[str, Split] = like._splits if like else {}
        self._data: dict[str, OnDevice] = like._data if like else {}
        began = resumed and resumed.header
        streamed = {key: key in began.streamed for key in began.offsets} if began else {}
        self._streamed: dict[str, bool] = like._streamed if like else streamed
        self.tasks: TaskSet = TaskSet(classes, self.model, datasets, self.device, job=self._facts())
        for spec in resumed.header.spec.tasks if resumed else job.tasks:
            self.tasks.attach(spec).added = resumed is not None and spec.key in resumed.header.added
        self.require_trainable()
        there = [self.tasks.dataset(task.dataset).targets for task in self.tasks.specs]
        combinations.require(self.train.combinations, there)
        self.early = EarlyStop(self.train, self.tasks.entries)
        self.optimizer = self._optimizers()
        self.updates = Updates(self.model, self.train, self.optimizer, self.device, ranks)
        if origin is not None:
            self._take_over(origin, exactly=resumed is not None)
        self._schedule: Schedule

    def _optimizers(self) -> Optimizers:
        """Return the optimizers of the model and of the tasks that are there."""
        optimizers = Optimizers(self.train, self.device)
        of_model = {f"model.{name}": parameter for name, parameter in self.model.named_parameters()}
        optimizers.add("", of_model.items(), groups_of("", self.model.optimizers(), of_model))
        for entry in self.tasks.entries.values():
            optimizers.add(entry.spec.key, entry.named_parameters(), entry.groups)
        return optimizers

    @property
    def leads(self) -> bool:
        """Whether this process reports and saves: the only one, or rank 0."""
        return self.ranks is None or self.ranks.leads

    @property
    def global_step(self) -> int:
        """Updates made by the whole line of checkpoints."""
        return self._start_global_step + self.step

    # --- a step ------------------------------

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Within, steps can be made: random states and torch's settings are the run's; afterwards the caller's."""
        with rng.preserved(), torch_settings(self.device, self.threads), self.updates.installed():
            rng.seed_all(self.train.seed)
            if self._rng is not None:  # of a checkpoint; one made on the CPU has no state for a GPU
                rng.restore(self._rng, self.device)
            if self.ranks is not None:
                self.ranks.share_random_state()
            self.model.train()
            self.replan(finite=self.train.on_nan == "stop")
            yield

    def make_step(self) -> StepResult:
        """Make one step; raises TaskFailed for a task that fails, and PluginFailed for the model."""
        plan = self._schedule.at(self.global_step)
        try:
            result = self.updates.make(plan, self.lr, self.step, self.clip)
        except TaskFailed as failed:
            raise TaskFailed(f"{failed} at step {self.step}", key=failed.key) from failed.__cause__ or failed
        except PluginFailed as failed:
            raise PluginFailed(f"{failed} at step {self.step}") from failed
        self.step += 1
        return result

    def take(self, block: PointBlock) -> None:
        """Take the newest points, for what looks at them over many steps: early stopping, and plateaus."""
        self.early.take(block)
        for plateau in self.optimizer.plateaus.values():
            plateau.take(block)

    @property
    def is_due(self) -> bool:
        """Whether early stopping or a plateau looks at the points up to this step."""
        return self.step % WINDOW_STEPS == 0 and (self.early.is_on or bool(self.optimizer.plateaus))

    def look_back(self) -> str:
        """Lower rates on a plateau; return why the job ends, or '' if it goes on. All points were taken."""
        for plateau in self.optimizer.plateaus.values():
            plateau.turn(self.step)
        return self.early.ended(self.step)

    def forget_losses(self) -> None:
        """Have early stopping and plateaus begin anew, after a change of what is trained."""
        self.early.restart()
        for plateau in self.optimizer.plateaus.values():
            plateau.restart()

    def end(self) -> None:
        """Keep the random states as they are now: the caller has its own again after ``ready``."""
        self._rng_at_end = rng.capture(self.device)

    def replan(self, *, finite: bool = False) -> None:
        """Work out what a step does from the tasks as they stand. finite: the first losses must be finite."""
        enabled = self.tasks.enabled
        self.updates.survives = any(map(self.may_fail, enabled))
        if self.train.on_nan == "stop":
            self.optimizer.skip_nothing()
        if self.train.schedule == "joint":
            self._schedule = JointSchedule(Plan(enabled, self._group, finite=finite))
        else:
            plans = [
                Plan([entry], self._group, seen=_seen_by(entry, enabled), drawn=place, finite=finite)
                for place, entry in enumerate(enabled)
            ]
            self._schedule = SampledSchedule(plans, [entry.spec.weight for entry in enabled], self.train.seed)

    def _group(self, key: str, members: list[tuple[int, Entry]]) -> TaskGroup:
        if key not in self._streams:
            self._streams[key] = self._on_device(key).stream(
                self._training_rows(key),
                seed=self.train.seed,
                batch_size=self.train.batch_size,
                offset=self._offsets.get(key, 0),
            )
        return TaskGroup(self._on_device(key), self._streams[key], members)

    def _on_device(self, key: str) -> OnDevice:
        if key not in self._data:
            kind = Streamed if self._is_streamed(key) else Resident
            self._data[key] = kind(self.tasks.dataset(key), self.device, self._training_rows(key))
        return self._data[key]

    def _is_streamed(self, key: str) -> bool:
        """Return whether a dataset is trained from its file: a job that is resumed goes on in the order it began in."""
        if key not in self._streamed:
            self._streamed[key] = self.tasks.dataset(key).images.nbytes > self.train.resident_gib * 2**30
        return self._streamed[key]

    def data_in_words(self) -> dict[str, str]:
        """Return for each dataset of the tasks how its images are held and how its rows are split, in words."""
        keys = dict.fromkeys(entry.spec.dataset for entry in self.tasks.entries.values())
        return {key: self._in_words(key) for key in keys}

    def _in_words(self, key: str) -> str:
        data = self.tasks.dataset(key)
        mib = data.images.nbytes / 2**20
        size = f"{mib:.1f} MiB" if mib < 1024 else f"{mib / 1024:.2f} GiB"
        limit = f"{self.train.resident_gib:g} GiB"
        way = "streamed from the file" if self._is_streamed(key) else "held in the memory of the device"
        return f"{len(data):,} images, {self.split(key).in_words}; {size}, {way} (limit {limit})"

    def _facts(self) -> JobFacts:
        """Return what tasks are told of the job."""
        return JobFacts(
            total=self.train.steps,
            seed=self.train.seed,
            global_step=lambda: self.global_step,
            training_rows=lambda key: len(self._training_rows(key)),
        )

    def _training_rows(self, key: str) -> Indices:
        return self.split(key).training

    def split(self, key: str) -> Split:
        """Return which rows of a dataset are trained on, and which are not; raises InvalidInput."""
        if key not in self._splits:
            self._splits[key] = split_of(self.tasks.dataset(key), seed=self.job.model.seed, train=self.train)
        return self._splits[key]

    def training_rows(self, key: str) -> TrainingRows:
        """Return the training rows of a dataset, on the device."""
        return TrainingRows(self._on_device(key), self._training_rows(key))

    # --- tasks that come and go ------------------------------

    def may_fail(self, entry: Entry) -> bool:
        """Return whether the job goes on without this task if it fails."""
        policy = self.train.on_task_error
        return policy == "off" or (policy == "auto" and entry.added)

    def require_trainable(self, *, without: Collection[str] = ()) -> None:
        """Raise InvalidInput unless the tasks (but for those of some keys) give a step something to do."""
        enabled = [entry for entry in self.tasks.enabled if entry.spec.key not in without]
        if not enabled:
            raise InvalidInput({"tasks": "no task would be enabled; a step needs at least one"})
        if self.train.schedule == "sampled" and not sum(entry.spec.weight for entry in enabled):
            raise InvalidInput(
                weight="the sampled schedule draws tasks by weight, and all enabled would have weight 0; "
                "give at least one a weight above 0"
            )

    def join(self, spec: TaskSpec) -> Entry:
        """Attach a task to the running job; raises InvalidInput and changes nothing if it does not fit."""
        entry = self.tasks.attach(spec)
        entry.added = True
        try:
            self.require_trainable()
            self.optimizer.add(spec.key, entry.named_parameters(), entry.groups)
            self.replan()
        except BaseException:
            self.drop(spec.key)
            raise
        return entry

    def take_tasks(self, specs: Sequence[TaskSpec]) -> None:
        """Bring the tasks to ``specs``: those that are not among them go, new ones join, all are on or off as there."""
        wanted = {spec.key: spec for spec in specs}
        for key, entry in list(self.tasks.entries.items()):
            spec = wanted.get(key)
            if spec is None or entry.spec != _steered(spec, entry.spec):
                self.drop(key)
            else:
                self.tasks.change(key, weight=spec.weight, enabled=spec.enabled)
        new = [spec for spec in specs if spec.key not in self.tasks.entries]
        for spec in sorted(new, key=lambda spec: not spec.enabled):  # whoever joins finds a task that is on
            self.join(spec)

    def drop(self, key: str) -> None:
        """Take a task away, with what the optimizer knows of it."""
        entry = self.tasks.detach(key)
        self.optimizer.remove(key, (parameter for _, parameter in entry.named_parameters()))

    # --- checkpoints ------------------------------

    def compare_ranks(self) -> None:
        """Raise RanksDiffer unless all ranks hold the same weights and random states."""
        assert self.ranks is not None
        self.ranks.compare({**self.model.state_dict(), **self.tasks.head_tensors()}, self.step)

    def twin(
        self, *, start_from: Checkpoint | None = None, resume_from: Checkpoint | None = None
    ) -> TrainState:
        """Return a state of the same job, made anew, that shares nothing with this one but datasets and classes.

        It trains every task in every step, on small batches, in one process, and compiles nothing. What a plugin
        keeps in its class or its module is of both.
        """
        changes = {
            "compile": "off",
            "accumulate": 1,
            "ranks": 1,
            "schedule": "joint",
            "early_stop": "",
            "on_task_error": "end",
            "batch_size": min(self.train.batch_size, TWIN_ROWS),
            "threads": self.threads,
        }
        job = self.job.model_copy(update={"train": self.train.model_copy(update=changes)})
        return TrainState(
            job,
            self.datasets,
            classes=self.classes,
            device=str(self.device),
            like=self,
            start_from=start_from,
            resume_from=resume_from,
        )

    def snapshot(self) -> Snapshot:
        """Return a detached copy of the full state, on the CPU."""
        held: dict[str, Tensor] = {
            f"model.{name}": tensor for name, tensor in self.model.state_dict().items()
        }
        held |= self.tasks.head_tensors()
        state = {"model": self.extra.state("state.model", held)}
        for entry in self.tasks.entries.values():
            state |= entry.state(held)
        held |= {f"optim.{name}": tensor for name, tensor in self.optimizer.state().items()}
        held |= {f"scaler.{name}": tensor for name, tensor in self.updates.state().items()}
        random = self._rng_at_end or rng.capture(self.device)  # the caller has its own again after the end
        held |= {f"rng.{name}": tensor for name, tensor in random.items()}
        tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in held.items()}
        header = self._header({name: kept for name, kept in state.items() if kept})
        return Snapshot(step=self.step, header=header, tensors=tensors)

    def described(self) -> dict[str, Any]:
        """Return all that can be seen of model and tasks beside weights, by words that say where it is."""
        return {
            f"{before}'{path}'{after}": value
            for before, extra, after in self._extra_states()
            for path, value in extra.described().items()
        }

    def left_out(self) -> frozenset[str]:
        """Return what the last snapshot found changed and could not keep, in the words of ``described``."""
        return frozenset(
            f"{before}'{path}'{after}"
            for before, extra, after in self._extra_states()
            for path in extra.left_out
        )

    def _extra_states(self) -> Iterator[tuple[str, ExtraState, str]]:
        yield "the model's ", self.extra, ""
        for key, entry in self.tasks.entries.items():
            yield "the attribute ", entry.extra, f" of task '{key}'"
            if entry.head_extra is not None:
                yield "the attribute ", entry.head_extra, f" of the head of task '{key}'"

    def _header(self, state: dict[str, dict[str, Any]]) -> Header:
        spec = self.job.model_copy(update={"tasks": self.tasks.specs, "datasets": self._dataset_specs()})
        names = [self.job.model.architecture, *(task.task_class for task in self.tasks.specs)]
        return Header(
            spec=spec,
            job_step=self.step,
            global_step=self.global_step,
            lr=self.lr,
            grad_clip_norm=self.clip,
            skipped=self.skipped,
            ages={key: entry.age for key, entry in self.tasks.entries.items()},
            offsets={**self._offsets, **{key: stream.offset for key, stream in self._streams.items()}},
            plugins=self.classes.sources(names),
            versions=versions(),
            early_stop=self.early.state(),
            plateaus={name: each.state() for name, each in self.optimizer.plateaus.items()},
            precision=self.precision,
            device=self.device.type,
            threads=self.threads,
            state=state,
            added=tuple(key for key, entry in self.tasks.entries.items() if entry.added),
            streamed=tuple(key for key, streamed in self._streamed.items() if streamed),
        )

    def _dataset_specs(self) -> dict[str, DatasetSpec]:
        """Return the job's datasets, with those that came with a task added on the way."""
        added = {task.dataset for task in self.tasks.specs} - self.job.datasets.keys()
        return {**self.job.datasets, **{key: self.tasks.dataset(key).spec(key) for key in sorted(added)}}

    def _take_over(self, origin: Checkpoint, *, exactly: bool) -> None:
        """Go on from ``origin``: heads, ages, optimizer; with the same seed random states and positions."""
        header = origin.header
        if exactly:
            self.step, self.skipped = header.job_step, header.skipped
            self.lr, self.clip = header.lr, header.grad_clip_norm
            self.early.load(header.early_stop)
            for name, plateau in self.optimizer.plateaus.items():
                plateau.load(header.plateaus.get(name, {}))
        self._start_global_step = header.global_step - (header.job_step if exactly else 0)
        same_seed = exactly or header.spec.train.seed == self.train.seed
        before = {task.key: task for task in header.spec.tasks}
        for key, entry in self.tasks.entries.items():
            known = before.get(key)
            if known is None or known.task_class != entry.spec.task_class:
                continue
            entry.age = header.ages.get(key, 0)
            with rng.preserved():
                self.tasks.awaken(key, origin)
            wrong = entry.load(origin, self.device, random=same_seed)
            if exactly and wrong:
                raise CheckpointError(wrong)
        load_model(self.model, origin, self.extra)
        same = header.spec.train.optimizer == self.train.optimizer
        self.optimizer.load(origin.part("optim"), own=same)
        self.updates.load(origin.part("scaler"))
        if same_seed:
            self._rng = origin.part("rng")
            self._offsets = dict(header.offsets)


def _checkpoint(source: str | Path | Checkpoint | None) -> Checkpoint | None:
    return source if source is None or isinstance(source, Checkpoint) else load(source)


def _steered(spec: TaskSpec, now: TaskSpec) -> TaskSpec:
    """Return ``spec`` with what commands change as it is in ``now``."""
    return spec.model_copy(update={"weight": now.weight, "enabled": now.enabled})


def _seen_by(entry: Entry, enabled: Sequence[Entry]) -> list[Entry]:
    """Return the tasks that a task looks at beside its own batch."""
    return [other for other in enabled if other is not entry] if isinstance(entry.task, JointTask) else []
