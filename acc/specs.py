"""The specifications that travel from the site to the engine and into checkpoints. Torch-free.

Every spec is frozen, JSON-serialisable, and complete: the same spec and the same data give the same weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from acc import combinations as held_out_combinations
from acc.errors import InvalidInput
from acc.names import Name, listed, paired
from acc.refusals import field_errors

KEY_PATTERN = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}$")
EVAL_PARTS = ("metrics", "reconstructions", "traversals", "sort", "attention", "ufr")
METRIC_CLASS = re.compile(r"^[A-Z][A-Za-z0-9_]*$")
"""What a part of an evaluation that is a ``Metric`` of a plugin is called: the name of its class."""


class Spec(BaseModel):
    """Base of all specs: frozen, and a misspelt field is an error rather than silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FactorGroup(Spec):
    """A named range ``[start, end)`` of latent dimensions (channels, for a spatial latent)."""

    name: Name
    start: int = Field(ge=0)
    end: int = Field(gt=0)

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> FactorGroup:
        if self.end <= self.start:
            raise ValueError(
                f"factor group '{self.name}' is empty: {self.start}:{self.end}; end must exceed start"
            )
        return self

    @property
    def width(self) -> int:
        """Number of latent dimensions in the group."""
        return self.end - self.start


class ImageShape(Spec):
    """Shape of one image: channels, height and width in pixels."""

    channels: int = Field(default=1, ge=1, le=64)
    height: int = Field(default=32, ge=8, le=1024)
    width: int = Field(default=32, ge=8, le=1024)


class ModelSpec(Spec):
    """Architecture plugin, its parameters, and the named division of its latent space."""

    architecture: str
    image: ImageShape = ImageShape()
    latent_dim: int = Field(ge=1, le=65_536)
    factor_groups: tuple[FactorGroup, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _groups_fit(self) -> ModelSpec:
        names = [group.name for group in self.factor_groups]
        if len(set(names)) != len(names):
            raise ValueError(f"factor groups must have different names; got {', '.join(names)}")
        for before, after in zip(self.ordered_groups, self.ordered_groups[1:], strict=False):
            if after.start < before.end:
                raise ValueError(
                    f"factor groups '{before.name}' {before.start}:{before.end} and "
                    f"'{after.name}' {after.start}:{after.end} overlap"
                )
        for group in self.factor_groups:
            if group.end > self.latent_dim:
                raise ValueError(
                    f"factor group '{group.name}' {group.start}:{group.end} goes beyond latent_dim {self.latent_dim}"
                )
        return self

    @property
    def ordered_groups(self) -> tuple[FactorGroup, ...]:
        """Factor groups by position."""
        return tuple(sorted(self.factor_groups, key=lambda group: group.start))

    def group(self, name: str) -> FactorGroup:
        """Return the factor group called ``name``; raises InvalidInput naming those that exist."""
        for group in self.factor_groups:
            if group.name == name:
                return group
        known = ", ".join(group.name for group in self.ordered_groups) or "none"
        raise InvalidInput({"factor": f"{name!r} is not a factor group of this model; it has: {known}"})


class TargetSpec(Spec):
    """A named target column of a dataset.

    ``class`` columns hold int64 labels ``0..classes-1``; ``real`` columns hold float32 values.
    """

    name: Name
    kind: Literal["class", "real"]
    classes: int | None = None
    labels: tuple[str, ...] | None = None
    min: float | None = None
    max: float | None = None
    unit: str = ""


class DatasetSpec(Spec):
    """Which images a task reads: identity by content, not by place.

    units: how many units the rows form (``AccDataset.units``); None: each row stands for itself.
    """

    name: str
    content_hash: str
    sha256: str = ""
    n: int = Field(ge=1)
    image: ImageShape
    targets: tuple[TargetSpec, ...] = ()
    units: int | None = None

    def target(self, name: str) -> TargetSpec | None:
        """Return the target column called ``name``, or None."""
        return next((target for target in self.targets if target.name == name), None)


def parse_slice(value: Any) -> tuple[int, int] | None:
    """Return a range of latent dimensions as (start, end); None for none, which is None or an empty text.

    It is written ``start:end``, such as ``0:6``, or given as two whole numbers. Raises InvalidInput(latent_slice)
    for anything else, and for a range that holds no dimension.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    ends: list[Any] = []
    if isinstance(value, str):
        ends = [int(part) for part in value.split(":") if _is_whole(part.strip())]
        ends = ends if value.count(":") == 1 else []
    elif isinstance(value, Sequence):
        ends = [end for end in value if isinstance(end, int) and not isinstance(end, bool)]
        ends = ends if len(value) == len(ends) else []
    if len(ends) != 2:
        raise InvalidInput(
            {"latent_slice": f"{value!r} is not a range of dimensions; write start:end, such as 0:6"}
        )
    start, end = ends
    if not 0 <= start < end:
        raise InvalidInput(
            {"latent_slice": f"{start}:{end} holds no dimension; need 0 <= start < end, such as 0:6"}
        )
    return start, end


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9


class TaskSpec(Spec):
    """One weighted loss on one dataset, reading the whole latent, a slice of it, or a named factor.

    part_weights: of the losses that the task returns by name, what each counts in their sum; others as the class says.
    """

    key: str = Field(pattern=KEY_PATTERN.pattern)
    name: str
    task_class: str
    dataset: str
    weight: float = Field(default=1.0, ge=0, le=1e6, allow_inf_nan=False)
    enabled: bool = True
    latent_slice: tuple[int, int] | None = None
    factor: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    part_weights: dict[str, Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    source_sha256: str = ""

    @model_validator(mode="after")
    def _reads_one_place(self) -> TaskSpec:
        if self.latent_slice is not None and self.factor:
            raise ValueError("give latent_slice or factor, not both")
        return self

    @field_validator("latent_slice")
    @classmethod
    def _slice_is_not_empty(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 0 <= value[0] < value[1]:
            raise ValueError(f"({value[0]}, {value[1]}) is empty or negative; need 0 <= start < end")
        return value

    def latent_range(self, model: ModelSpec) -> tuple[int, int]:
        """Return the ``(start, end)`` of latent dimensions read; raises InvalidInput when out of range."""
        if self.factor:
            group = model.group(self.factor)
            return group.start, group.end
        if self.latent_slice is not None:
            if self.latent_slice[1] > model.latent_dim:
                raise InvalidInput(
                    latent_slice=f"{self.latent_slice[0]}:{self.latent_slice[1]} goes beyond the "
                    f"{model.latent_dim} latent dimensions of this model; end must be at most {model.latent_dim}"
                )
            return self.latent_slice
        return 0, model.latent_dim


class TrainSpec(Spec):
    """How to train: every choice that changes the result, and nothing that does not.

    ``split``: ``given`` trains on the rows that the split which comes with the data says, ``drawn`` on those that are
    not drawn to be held out; ``auto`` on the former where there is one, else on the latter. ``combinations``: cells of
    a factor grid that nothing is trained on (``acc.combinations``). Both are those of the checkpoint that a job starts
    from, so that all branches of an experiment hold out the same (``held_out_as``).
    ``on_nan``: what a loss or gradient that is no finite number does: ``stop`` fails the job and keeps the last
    checkpoint, ``skip`` leaves out that step's update, counts it and raises an alarm. ``on_task_error`` comes first.
    ``on_task_error``: what a task that raises, or whose loss is no finite number, does: ``auto`` switches it off with
    an alarm if it was added while the job ran, and ends the job otherwise; ``off`` and ``end`` do so with any task.
    ``precision``: of the network's passes; weights, losses and heads stay float32. ``auto`` is bf16 on a GPU that
    computes it natively, else fp32. fp16 scales the loss, and the checkpoint keeps the scale.
    ``compile``: torch.compile's mode for the network's passes. ``reduce-overhead`` and ``max-autotune`` replay
    CUDA graphs and need a GPU; ``max-autotune`` times kernels, so it repeats itself to the bit only where its
    cache holds the choice.
    ``resident_gib``: datasets whose images are larger than so many GiB are streamed from their files while they are
    trained on, in an order of windows (``acc.training.streaming``), rather than held in the device's memory.
    ``channels_last``: memory format of convolutions and images.
    ``accumulate``: batches per update; their gradients are averaged, as of one batch of so many times the size.
    ``ranks``: devices that share each batch; ``batch_size`` is that of all together.
    ``beta1``, ``beta2``: of adamw, adam, and of muon's part by AdamW; ``momentum``: of sgd and muon. ``muon`` takes the
    weights of two dimensions (Jordan 2024), AdamW all others: convolutions, biases, norms.
    ``lr_schedule``: ``step`` multiplies the rate by ``lr_factor`` every ``lr_every_steps`` steps; ``plateau`` does so
    when the mean of the total loss over 100 steps was not below the best one for ``lr_patience_steps`` steps.
    ``lr_warmup_steps``: the rate rises to the schedule's over so many steps.
    ``early_stop``: ``total`` or the key of a task; the job ends once the mean of this loss over a window of 100
    steps was not ``early_stop_min_delta`` below the best one for ``early_stop_patience`` steps. Empty: never.
    """

    steps: int = Field(ge=1, le=1_000_000_000)
    batch_size: int = Field(default=64, ge=1, le=65_536, title="Batch")
    accumulate: int = Field(
        default=1, ge=1, le=1024, title="Batches for each update", description="gradients are averaged"
    )
    schedule: Literal["joint", "sampled"] = Field(default="joint", title="Tasks in a step")
    optimizer: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    lr: float = Field(default=2e-3, gt=0, le=10, allow_inf_nan=False, title="Learning rate")
    weight_decay: float = Field(default=1e-4, ge=0, le=10, allow_inf_nan=False)
    beta1: float = Field(default=0.9, ge=0, lt=1, title="Beta 1", description="of Adam, AdamW")
    beta2: float = Field(default=0.999, ge=0, lt=1, title="Beta 2", description="of Adam, AdamW")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of SGD, Muon")
    lr_schedule: Literal["constant", "one_cycle", "cosine", "step", "plateau"] = Field(
        default="constant", title="Rate over time"
    )
    lr_warmup_steps: int = Field(
        default=0, ge=0, le=1_000_000_000, title="Rate warm-up, steps", description="rises from near 0"
    )
    lr_every_steps: int = Field(
        default=1000, ge=1, le=1_000_000_000, title="Lower the rate every", description="steps; of 'step'"
    )
    lr_factor: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        title="Lower the rate to",
        description="a part of it; of 'step' and 'plateau'",
    )
    lr_patience_steps: int = Field(
        default=1000,
        ge=100,
        le=1_000_000_000,
        title="Plateau, steps",
        description="without a better mean of 100 steps; of 'plateau'",
    )
    kl_warmup_steps: int = Field(default=0, ge=0, title="KL warm-up steps")
    grad_clip_norm: float | None = Field(
        default=None, gt=0, title="Clip gradients at", description="empty: do not clip"
    )
    on_nan: Literal["stop", "skip"] = Field(default="stop", title="A loss is not a number")
    on_task_error: Literal["auto", "off", "end"] = Field(default="auto", title="A task fails")
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="of order and noise; weights and held-out rows follow the experiment's",
    )
    val_fraction: float = Field(default=0.2, ge=0, lt=1, title="Held-out part")
    split: Literal["auto", "given", "drawn"] = Field(default="auto", title="Held-out rows")
    combinations: str = Field(
        default="",
        max_length=held_out_combinations.MAX_TEXT,
        title="Held-out combinations",
        description="such as shape=heart & scale=0.5; shape=square & scale=0.6|0.7",
    )
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    resident_gib: float = Field(
        default=2.0,
        ge=0,
        le=100_000,
        allow_inf_nan=False,
        title="Hold in memory, GiB",
        description="larger datasets are streamed from disk",
    )
    device_memory_gib: float | None = Field(default=None, gt=0, le=100_000)
    threads: int | None = Field(default=None, ge=1, le=1024)
    ranks: int = Field(
        default=1,
        ge=1,
        le=64,
        title="Processes that share a batch",
        description="each on a device of its own",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = Field(
        default="off", title="Compile the network"
    )
    channels_last: bool = Field(default=False, title="Memory format")
    early_stop: str = Field(
        default="",
        pattern=rf"^$|{KEY_PATTERN.pattern}",
        title="Stop early on",
        description="total or a task's key; empty: never",
    )
    early_stop_patience: int = Field(
        default=1000,
        ge=100,
        le=1_000_000_000,
        title="Patience, steps",
        description="without a better mean of 100 steps",
    )
    early_stop_min_delta: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        allow_inf_nan=False,
        title="Least improvement",
        description="of that loss",
    )
    checkpoint_every_steps: int | None = Field(default=None, ge=1)
    checkpoint_every_seconds: float | None = Field(default=30.0, gt=0)

    @field_validator("combinations")
    @classmethod
    def _combinations_can_be_read(cls, value: str) -> str:
        held_out_combinations.parse(value)
        return value.strip()

    @field_validator("ranks")
    @classmethod
    def _each_rank_has_rows(cls, value: int, info: ValidationInfo) -> int:
        batch = info.data.get("batch_size", value)
        if value > batch:
            raise ValueError(
                f"{value} ranks cannot share batches of {batch}; use fewer, or a larger batch_size"
            )
        return value


class EvalSpec(Spec):
    """What to measure of a checkpoint.

    suite: of ``EVAL_PARTS``, and classes of metrics of a whole checkpoint. dataset: the one that traversals, sort,
    attention, ufr and such metrics look at; empty: the one whose targets name most factor groups. rows: of a dataset
    that was trained on, those held out, all, the test rows that came with it, or those of held-out combinations.
    direction, groups: along what traversals and sort go, and in which groups (empty: all). shown: which images are
    reconstructed: those of ``seed``, or those that come out worst. concepts: targets that count as factors (empty:
    those that a group holds, if there are two, else all; metrics of plugins: all); own: concept -> the group that
    holds it (empty: the group of its name); match: score the best assignment instead. params: of metrics that are
    plugins, ``Class.parameter`` -> value.
    """

    suite: tuple[str, ...] = ("metrics", "reconstructions")
    images: int = Field(default=8, ge=1, le=256)
    seed: int = Field(default=0, ge=0, lt=2**63)
    shown: Literal["fixed", "worst"] = "fixed"
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    dataset: str = ""
    rows: Literal["held_out", "all", "test", "combinations"] = "held_out"
    seeds: int = Field(default=5, ge=1, le=64)
    steps: int = Field(default=9, ge=2, le=64)
    sort_images: int = Field(default=20, ge=1, le=256)
    direction: Literal["principal", "pattern", "dimensions"] = "principal"
    groups: tuple[str, ...] = ()
    concepts: tuple[str, ...] = ()
    own: dict[str, str] = Field(default={})
    match: bool = False
    params: dict[str, bool | int | float | str] = Field(default={})

    @property
    def metrics(self) -> tuple[str, ...]:
        """The parts that are metrics of plugins, by class."""
        return tuple(part for part in dict.fromkeys(self.suite) if part not in EVAL_PARTS)

    def params_of(self, metric: str) -> dict[str, Any]:
        """Return the parameters that were given of one of the metrics."""
        given = ((*name.partition("."), value) for name, value in self.params.items())
        return {name: value for of, _, name, value in given if of == metric}

    @field_validator("suite")
    @classmethod
    def _parts_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [part for part in value if part not in EVAL_PARTS and not METRIC_CLASS.match(part)]
        if unknown or not value:
            what = f"{unknown[0]!r} cannot be measured" if unknown else "no part is chosen"
            raise ValueError(f"{what}; choose of: {', '.join(EVAL_PARTS)}")
        return value

    @field_validator("groups", "concepts", mode="before")
    @classmethod
    def _names_from_a_shell(cls, value: Any) -> Any:
        return listed(value) if isinstance(value, str) else value

    @field_validator("own", "params", mode="before")
    @classmethod
    def _pairs_from_a_shell(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return paired(value)

    @field_validator("params")
    @classmethod
    def _params_are_of_metrics(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        measured = info.data.get("suite", ())
        for name in value if measured else ():
            if not METRIC_CLASS.match(name.partition(".")[0]) or name.partition(".")[0] not in measured:
                right = "write Class.parameter, of a class that suite names"
                raise ValueError(f"{name!r} is of no metric that is to be measured; {right}")
        return value


class EvalJobSpec(EvalSpec):
    """What an evaluation job was asked, frozen when it was submitted. plugins: metric class -> sha256 of its source."""

    plugins: dict[str, str] = Field(default={})


class TrainJobSpec(Spec):
    """Everything a train job needs, frozen when it is submitted.

    ``plugins`` maps class name to the sha256 of the plugin source that defines it.
    """

    model: ModelSpec
    tasks: tuple[TaskSpec, ...]
    datasets: dict[str, DatasetSpec]
    train: TrainSpec
    plugins: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _tasks_are_consistent(self) -> TrainJobSpec:
        keys = [task.key for task in self.tasks]
        if len(set(keys)) != len(keys):
            raise ValueError(f"task keys must differ; got {', '.join(keys)}")
        for task in self.tasks:
            if task.dataset not in self.datasets:
                raise ValueError(f"task '{task.key}' names the unknown dataset '{task.dataset}'")
        return self


def held_out_as(job: TrainJobSpec, before: TrainJobSpec) -> TrainJobSpec:
    """Return ``job`` holding out what ``before`` did, the job of the checkpoint that it starts from.

    What it leaves open is taken over. Raises InvalidInput (split, combinations) where it says otherwise: it would be
    measured on what its ancestors were trained on.
    """
    now, then = job.train, before.train
    seen = {spec.content_hash for spec in before.datasets.values()}
    errors = {}
    combinations, split = now.combinations or then.combinations, now.split
    if combinations != then.combinations and (
        then.combinations
        or any(
            spec.content_hash in seen
            and held_out_combinations.applies(combinations, [target.name for target in spec.targets])
            for spec in job.datasets.values()
        )
    ):
        was = f"held out {then.combinations!r}" if then.combinations else "was trained on all combinations"
        errors["combinations"] = (
            f"{combinations!r} is refused: the checkpoint that this job starts from {was}; leave it empty, or begin a "
            "new experiment"
        )
    if split == "auto":
        split = then.split
    elif split != then.split:
        errors["split"] = (
            f"{split!r} is refused: the checkpoint that this job starts from was trained with {then.split!r}; leave it "
            "at auto, or begin a new experiment"
        )
    if errors:
        raise InvalidInput(errors)
    if (combinations, split) == (now.combinations, now.split):
        return job
    train = now.model_copy(update={"combinations": combinations, "split": split})
    return job.model_copy(update={"train": train})


def parse(spec: type[Spec], data: Any, *, prefix: str = "") -> Any:
    """Return ``spec`` made from ``data``; raises InvalidInput with a sentence for each wrong field."""
    try:
        return spec.model_validate(data)
    except ValidationError as error:
        raise InvalidInput(field_errors(error, prefix=prefix)) from error
