"""The base of tasks: a loss on one dataset that reads the latent, a slice of it, or a named factor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor, nn

from acc.errors import InvalidInput, TaskError
from acc.models.base import Model, check_image
from acc.models.output import ModelOutput
from acc.params import Param, clean_params, params_of
from acc.specs import TargetSpec, TaskSpec, TrainSpec
from acc.text import text_of
from acc.training.batch import Batch, TrainingRows
from acc.training.context import StepContext
from acc.training.optimizers import OptimizerGroup

if TYPE_CHECKING:
    from acc.data import AccDataset

Sums = dict[str, Tensor | float]
Loss = Tensor | Mapping[str, Tensor]
Thresholds = tuple[float, float]

DEFAULT_THRESHOLDS: Mapping[str, Thresholds] = {"accuracy": (0.7, 0.9), "loss": (0.5, 0.1)}


class Task:
    """A weighted loss with its metrics. Subclass it, declare ``Param``s, write ``compute_loss``.

    The latent that a task reads is ``self.latent(output)``: while training the sample that the decoder reads
    too (so that a factor must stand out from the posterior's noise), in evaluation always the posterior mean.

    target: kind of target column that the dataset must have, or None.
    needs_reconstruction: the decoder is run for the dataset's images in each step.
    needs_posterior: only models with a posterior (mean and log-variance) will do.
    metrics: names that ``summarise`` gives, with whether higher is better. ``loss`` is always measured too.
    thresholds: metric -> from where on it is moderate, and from where on good: ``{"psnr": (15, 25)}``. Unless
    said otherwise an accuracy above .9 and a loss below .1 are good; None: neither high nor low is.
    trains: whether it has a loss; see ``EvaluationTask``.
    needs_whole_batch: the loss is no mean over rows but a statistic of the batch, such as a correlation. Where
    several ranks share a batch, such a task is given all of its rows. A property may say it by ``Param``s.
    part_weights: of the losses that ``compute_loss`` returns by name, what each counts in their sum; 1 unless said
    here (a property may compute it from ``Param``s) or in ``TaskSpec.part_weights``.
    training: False while a checkpoint is measured; an optimizer of the task's own makes no step then.

    What a task keeps (``self.x = ...``) is in the checkpoints and comes back exactly: modules, parameters, optimizers,
    random generators, numbers, texts, tensors, arrays, and lists, tuples, sets and dicts of these. Parameters of
    modules that are made in ``attach`` are trained with the head, unless an optimizer of the task's own has them. A
    job proves at its first step that nothing is lost, and refuses what would be.
    """

    label: ClassVar[str] = ""
    target: ClassVar[Literal["class", "real"] | None] = None
    needs_reconstruction: ClassVar[bool] = False
    needs_posterior: ClassVar[bool] = False
    reads_whole_latent: ClassVar[bool] = False
    metrics: ClassVar[dict[str, bool]] = {}
    thresholds: ClassVar[dict[str, Thresholds | None]] = {}
    trains: ClassVar[bool] = True
    needs_whole_batch: ClassVar[bool] = False
    part_weights: Mapping[str, float] = {}
    training: bool = True

    def __init__(self, **params: Any) -> None:
        for name, value in clean_params(params_of(type(self)), params).items():
            setattr(self, name, value)
        self.key = type(self).__name__.lower()
        self.latent_range = (0, 0)

    def attach(self, spec: TaskSpec, dataset: AccDataset, model: Model) -> None:
        """Give the task its place on a model and a dataset; raises InvalidInput where it does not fit."""
        self.key = spec.key
        self.latent_range = spec.latent_range(model.spec)
        if self.reads_whole_latent and (spec.factor or spec.latent_slice is not None):
            field = "factor" if spec.factor else "latent_slice"
            raise TaskError(f"{type(self).__name__} reads the whole latent; leave {field} empty", field=field)
        self.check_compatible(dataset, model)

    def check_compatible(self, dataset: AccDataset, model: Model) -> None:
        """Raise TaskError, naming the wrong field, unless the task can work on this dataset and model.

        An override calls ``super().check_compatible(dataset, model)`` first.
        """
        check_image(model, dataset.images.shape[1:])
        if self.needs_posterior and not model.has_posterior:
            there = "has discrete codes" if model.discrete else "has none"
            raise TaskError(
                f"{type(self).__name__} needs a posterior (mean and log-variance), "
                f"{model.spec.architecture} {there}; choose a variational model",
                field="task_class",
            )
        if self.target is not None:
            target_of_kind(dataset, self.target, "", type(self).__name__)

    def build_head(self, in_dim: int, dataset: AccDataset) -> nn.Module | None:
        """Return the task's own head on ``in_dim`` latent dimensions, or None if it has none.

        Called with the random state seeded by the task's key: the same task starts with the same head.
        """
        return None

    def compute_loss(self, *seen: Any, **_named: Any) -> Any:
        """Return the loss as a scalar tensor on the device, before the weight. No ``.item()`` here.

        Write it as ``compute_loss(self, output, batch, head)``, or as ``compute_loss(self, output, batch, head, step)``
        to be told of the step (``StepContext``). Several losses are returned by name, ``{"tc": ..., "mi": ...}``: each
        is recorded, and their sum, by ``part_weights``, is the task's loss. The names stay the same in every step.
        """
        raise NotImplementedError(f"{type(self).__name__} must define compute_loss(output, batch, head)")

    def optimizers(self, head: nn.Module | None) -> Sequence[OptimizerGroup]:
        """Return which parameters of the task have an optimizer of their own; all others follow the job's.

        Called once, when head and task are on the device. With ``OptimizerGroup(head, "adam", lr=1e-4,
        loss="discriminator")`` the head learns from that loss alone, and nothing else does.
        """
        return ()

    def weight_scale(self, step: int, train: TrainSpec) -> float:
        """Return the factor on the weight at the task's own update ``step`` (0-based; survives a resume)."""
        return 1.0

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return sums over one held-out batch; those of all batches are added and given to ``summarise``."""
        return {}

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return metric -> value from the added sums; a sentence in place of a value says why there is none.

        As it stands: every sum divided by the sum called ``n``.
        """
        n = float(sums["n"]) if "n" in sums else 1.0
        return {name: float(value) / n for name, value in sums.items() if name != "n"}

    def baseline(self, rows: TrainingRows, held_out: Batch | None = None) -> Any:
        """Return the ``Baseline`` of the best predictor that looks at no image; None: nothing sensible.

        Its loss is what ``compute_loss`` would give it on the training rows, measured once, when the task is attached,
        without the model and without gradients. An evaluation gives ``held_out`` too, and reads the ``metrics`` on
        these alone. There may be millions of rows: read images by ``rows.images()`` and ``held_out.parts()``.
        """
        return None

    @classmethod
    def threshold(cls, metric: str) -> Thresholds | None:
        """Return from where on a metric is moderate and from where on good; None: nothing to judge it by."""
        return {**DEFAULT_THRESHOLDS, **cls.thresholds}.get(metric)

    def latent(self, output: ModelOutput) -> Tensor:
        """Return the latent dimensions that this task reads, ``(N, width)``."""
        return output.latent_for(self)


class TargetTask(Task):
    """A task that predicts a target column by a head of its own (``self.column`` once attached)."""

    target_name = Param("", help="target column; empty: the dataset's first of the right kind")
    head = Param("linear", choices=("linear", "mlp"), help="what reads the latent")
    hidden = Param(64, min=1, max=65_536, help="width of the mlp head's hidden layer")

    column: TargetSpec

    def check_compatible(self, dataset: AccDataset, model: Model) -> None:
        """Also find the target column; raises TaskError (dataset, params.target_name)."""
        super().check_compatible(dataset, model)
        assert self.target is not None, f"{type(self).__name__} must declare target = 'class' or 'real'"
        self.column = target_of_kind(dataset, self.target, self.target_name, type(self).__name__)

    def layers(self, in_dim: int, out_dim: int) -> nn.Module:
        """Return the head that the parameters ask for, ``(N, in_dim) -> (N, out_dim)``."""
        if self.head == "linear":
            return nn.Linear(in_dim, out_dim)
        return nn.Sequential(nn.Linear(in_dim, self.hidden), nn.GELU(), nn.Linear(self.hidden, out_dim))

    def target_values(self, batch: Batch) -> Tensor:
        """Return the target column of the batch, ``(N,)``."""
        return batch.targets[self.column.name]


@dataclass(frozen=True)
class TaskView:
    """What one task sees in a step: its dataset's batch, and what the model made of it."""

    task: Task
    output: ModelOutput
    batch: Batch


class JointTask(Task):
    """A task whose loss looks at what the other tasks see. Write ``compute_joint_loss`` and ``evaluate_joint``.

    The others are those that are enabled, each with the batch of its own dataset. With the sampled schedule
    their batches are drawn in the steps in which this task is.
    """

    needs_whole_batch = True

    def compute_joint_loss(self, *seen: Any, **_named: Any) -> Any:
        """Return the loss as ``compute_loss`` does; ``compute_joint_loss(self, own, others, head)`` or with ``step``.

        own: a ``TaskView``; others: a list of them.
        """
        raise NotImplementedError(f"{type(self).__name__} must define compute_joint_loss(own, others, head)")

    def evaluate_joint(self, own: TaskView, others: Sequence[TaskView]) -> Sums:
        """Return sums over one held-out batch, of each dataset in turn.

        ``others`` are the tasks on that dataset. The sums of all batches are added and given to ``summarise``.
        """
        return {}

    def compute_loss(
        self, output: ModelOutput, batch: Batch, head: nn.Module | None, *step: StepContext
    ) -> Any:
        """Return the loss where there is no other task."""
        return self.compute_joint_loss(TaskView(self, output, batch), (), head, *step)


class EvaluationTask(Task):
    """A task without a loss: it is measured when a checkpoint is, and has no part in training.

    Write ``evaluate`` and, where the sums are not simply to be divided by their ``n``, ``summarise``; both may
    look at ``self.model``. ``loss`` is not measured.
    """

    trains = False
    model: Model

    def attach(self, spec: TaskSpec, dataset: AccDataset, model: Model) -> None:
        """Also keep the model to look at; raises InvalidInput where the task does not fit."""
        super().attach(spec, dataset, model)
        self.model = model

    def compute_loss(self, *_seen: Any, **_named: Any) -> Any:
        """Raise TaskError: there is no loss."""
        raise TaskError(f"{type(self).__name__} has no loss; it only evaluates", field="task_class")


def target_of_kind(dataset: AccDataset, kind: str, name: str, who: str) -> TargetSpec:
    """Return the column called ``name`` (or the first of the kind); raises TaskError naming what is there."""
    columns = tuple(dataset.target_specs)
    there = ", ".join(f"{column.name} ({column.kind})" for column in columns) or "none"
    if not name:
        for column in columns:
            if column.kind == kind:
                return column
        raise TaskError(f"{who} needs a {kind} target, this dataset has: {there}", field="dataset")
    for column in columns:
        if column.name == name:
            if column.kind != kind:
                raise TaskError(
                    f"{who} needs a {kind} target, '{name}' is {column.kind}; this dataset has: {there}",
                    field="params.target_name",
                )
            return column
    raise TaskError(f"'{name}' is not a target of this dataset; it has: {there}", field="params.target_name")


def make_task(spec: TaskSpec, find: Callable[[str], type[Task]], dataset: AccDataset, model: Model) -> Task:
    """Return the attached task of a spec; raises InvalidInput with fields named as in the task's form."""
    cls = find(spec.task_class)
    try:
        task = cls(**spec.params)
    except TypeError as error:
        raise InvalidInput(params=f"{spec.task_class} refuses its parameters: {text_of(error)}") from error
    task.attach(spec, dataset, model)
    return task
