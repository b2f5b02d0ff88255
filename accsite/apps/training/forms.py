"""The form that trains a branch."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms

from acc.specs import TrainSpec
from accsite.apps.jobs.models import JobKind
from accsite.apps.jobs.selectors.workers import offered_devices
from accsite.apps.training.models import Branch
from accsite.forms import ServiceForm, choice, number, text


class TrainForm(ServiceForm):
    """Steps, batch, learning rate, device, and below them what is seldom changed."""

    COMMON = ("steps", "batch_size", "lr", "device", "schedule", "lr_schedule")

    steps = number("Steps", min=1, step=1)
    batch_size = number("Batch", min=1, step=1)
    lr = number("Learning rate", min=0)
    device = choice("Device", ())
    schedule = choice("Tasks in a step", [("joint", "all (joint)"), ("sampled", "one, by weight (sampled)")])
    lr_schedule = choice(
        "Rate over time", [("constant", "constant"), ("one_cycle", "one cycle"), ("cosine", "cosine")]
    )
    optimizer = choice("Optimizer", [("adamw", "AdamW"), ("adam", "Adam"), ("sgd", "SGD")])
    weight_decay = number("Weight decay", min=0)
    kl_warmup_steps = number("KL warm-up steps", min=0, step=1)
    grad_clip_norm = number("Clip gradients at", "empty: do not clip", min=0)
    accumulate = number("Batches for each update", "gradients are averaged", min=1, step=1)
    precision = choice(
        "Precision",
        [
            ("fp32", "32 bit"),
            ("auto", "auto: bfloat16 where a GPU computes it"),
            ("bf16", "bfloat16"),
            ("fp16", "16 bit, loss scaled"),
        ],
    )
    compile = choice(
        "Compile the network",
        [
            ("off", "no"),
            ("default", "yes"),
            ("reduce-overhead", "with CUDA graphs (GPU)"),
            ("max-autotune", "CUDA graphs, kernels tuned (GPU)"),
        ],
    )
    channels_last = choice("Memory format", [("False", "channels first"), ("True", "channels last")])
    ranks = number("Processes that share a batch", "each on a device of its own", min=1, step=1)
    early_stop = text("Stop early on", "total or a task's key; empty: never")
    early_stop_patience = number("Patience, steps", "without a better mean of 100 steps", min=100, step=1)
    early_stop_min_delta = number("Least improvement", "of that loss", min=0)
    on_nan = choice("A loss is not a number", [("stop", "stop the job"), ("skip", "skip that step")])
    on_task_error = choice(
        "A task fails",
        [
            ("auto", "switch it off if it was added while the job ran, else stop"),
            ("off", "switch it off and go on"),
            ("end", "stop the job"),
        ],
    )
    val_fraction = number("Held-out part", min=0, max=1)
    seed = number(
        "Seed", "of order and noise; weights and held-out rows follow the experiment's", min=0, step=1
    )
    idempotency_key = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, auto_id="train-%s", initial=initial)
        offered = sorted({"cpu", *offered_devices()})
        self.fields["device"].widget.choices = [("auto", "auto"), *((name, name) for name in offered)]
        for name, known in TrainSpec.model_fields.items():
            if name in self.fields and not known.is_required() and known.default:
                widget = self.fields[name].widget
                if isinstance(widget, forms.NumberInput):
                    widget.attrs["placeholder"] = known.default  # what an emptied field means

    @property
    def common(self) -> list[forms.BoundField]:
        """Return the fields that are always in view."""
        return [self[name] for name in self.COMMON]

    @property
    def more(self) -> list[forms.BoundField]:
        """Return the fields behind the fold."""
        return [field for field in self.visible_fields() if field.name not in self.COMMON]

    @property
    def more_errors(self) -> bool:
        """Return whether a field behind the fold was refused."""
        return any(name not in self.COMMON for name in self.errors if name != "__all__")

    @classmethod
    def for_branch(cls, branch: Branch) -> TrainForm:
        """Return the form with the values of the branch's last train job, else the defaults."""
        job = branch.jobs.filter(kind=JobKind.TRAIN).order_by("-id").first()
        last = job.spec.get("train") if job else None
        values = {**TrainSpec(steps=2000).model_dump(), **(last or {})}
        known = {name: value for name, value in values.items() if value is not None}
        return cls(initial={**known, "idempotency_key": uuid4().hex})
