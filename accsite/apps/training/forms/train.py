"""The form that trains a branch."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms

from acc.specs import TrainSpec
from accsite.actions.forms import field_of
from accsite.apps.jobs.models import JobKind
from accsite.apps.jobs.selectors.workers import offered_devices
from accsite.apps.training.models import Branch
from accsite.forms import ServiceForm

WORDS = {
    "schedule": [("joint", "all (joint)"), ("sampled", "one, by weight (sampled)")],
    "lr_schedule": [
        ("constant", "constant"),
        ("one_cycle", "one cycle"),
        ("cosine", "cosine"),
        ("step", "lower in steps"),
        ("plateau", "lower on a plateau"),
    ],
    "optimizer": [("adamw", "AdamW"), ("adam", "Adam"), ("sgd", "SGD"), ("muon", "Muon")],
    "precision": [
        ("fp32", "32 bit"),
        ("auto", "auto: bfloat16 where a GPU computes it"),
        ("bf16", "bfloat16"),
        ("fp16", "16 bit, loss scaled"),
    ],
    "compile": [
        ("off", "no"),
        ("default", "yes"),
        ("reduce-overhead", "with CUDA graphs (GPU)"),
        ("max-autotune", "CUDA graphs, kernels tuned (GPU)"),
    ],
    "channels_last": [("False", "channels first"), ("True", "channels last")],
    "split": [
        ("auto", "as the data says, else drawn"),
        ("given", "as the data says"),
        ("drawn", "drawn (held-out part)"),
    ],
    "on_nan": [("stop", "stop the job"), ("skip", "skip that step")],
    "on_task_error": [
        ("auto", "switch it off if it was added while the job ran, else stop"),
        ("off", "switch it off and go on"),
        ("end", "stop the job"),
    ],
}


class TrainForm(ServiceForm):
    """The fields of ``TrainSpec``: steps, batch, learning rate, device, and below them what is seldom changed."""

    COMMON = ("steps", "batch_size", "lr", "device", "schedule", "lr_schedule")
    NOT_ASKED = {"device_memory_gib", "threads", "checkpoint_every_steps", "checkpoint_every_seconds"}

    idempotency_key = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, auto_id="train-%s", initial=initial)
        devices = [("auto", "auto"), *((name, name) for name in sorted({"cpu", *offered_devices()}))]
        words = {**WORDS, "device": devices}
        for name, known in TrainSpec.model_fields.items():
            if name in self.NOT_ASKED:
                continue
            self.fields[name] = field_of(name, known, words.get(name))
            widget = self.fields[name].widget
            if isinstance(widget, forms.NumberInput) and not known.is_required() and known.default:
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
        """Return the form with the values of the branch's last train job, else of its method, else the defaults."""
        job = branch.jobs.filter(kind=JobKind.TRAIN).order_by("-id").first()
        last = job.spec.get("train") if job else None
        values = {**TrainSpec(steps=2000).model_dump(), **(last or branch.experiment.method.get("train", {}))}
        known = {name: value for name, value in values.items() if value is not None}
        return cls(initial={**known, "idempotency_key": uuid4().hex})
