"""Forms that only parse: the services decide what is right, so that every door says the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from django import forms

from acc.errors import InvalidInput
from acc.specs import TrainSpec
from accsite.apps.training.models import Branch, JobKind
from accsite.apps.training.selectors.workers import offered_devices


def number(label: str, help_text: str = "", **attrs: Any) -> forms.CharField:
    """Return a field for a number that a service will check."""
    return forms.CharField(
        label=label,
        help_text=help_text,
        required=False,
        widget=forms.NumberInput(attrs={"step": "any", **attrs}),
    )


def choice(label: str, choices: Iterable[tuple[str, str]], help_text: str = "") -> forms.CharField:
    """Return a select whose value a service will check."""
    return forms.CharField(
        label=label, help_text=help_text, required=False, widget=forms.Select(choices=list(choices))
    )


def text(label: str, help_text: str = "", **attrs: Any) -> forms.CharField:
    """Return a line of text that a service will check."""
    return forms.CharField(
        label=label,
        help_text=help_text,
        required=False,
        widget=forms.TextInput(attrs=attrs),
    )


class ServiceForm(forms.Form):
    """A form whose payload goes to a service, and whose errors come back from it beside their fields."""

    use_required_attribute = False

    def payload(self) -> dict[str, Any]:
        """Return the fields that were filled in."""
        self.full_clean()
        return {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}

    def refuse(self, error: InvalidInput) -> None:
        """Show the service's sentences beside their fields; what belongs to no field stands on top."""
        self.full_clean()
        for where, messages in error.fields.items():
            name = where if where in self.fields else where.rpartition(".")[2]
            known = name in self.fields
            for message in messages:
                self.add_error(
                    name if known else None, message if known or where == "__all__" else f"{where}: {message}"
                )


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


class ParamsForm(ServiceForm):
    """A form that is written by the parameters of a plugin, which are named ``params-<name>`` in it."""

    def __init__(self, params: Iterable[Mapping[str, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.param_fields: dict[str, str] = {}
        for param in params:
            field = param_field(param)
            self.param_fields[param["name"]] = f"params-{param['name']}"
            self.fields[f"params-{param['name']}"] = field

    def params(self) -> dict[str, Any]:
        """Return the parameters that were filled in; an unticked box is False."""
        self.full_clean()
        values = {name: self.cleaned_data.get(field) for name, field in self.param_fields.items()}
        return {name: value for name, value in values.items() if value not in ("", None)}

    def refuse(self, error: InvalidInput) -> None:
        """Show ``params.<name>`` beside its field."""
        fields = {
            f"params-{where.rpartition('.')[2]}"
            if where.rpartition(".")[2] in self.param_fields
            else where: messages
            for where, messages in error.fields.items()
        }
        super().refuse(InvalidInput(fields))


def param_field(param: Mapping[str, Any]) -> forms.Field:
    """Return the field of one parameter (``acc.params.Param.as_dict()``): type, default, limits, help."""
    words = param["name"].replace("_", " ")
    label = words[:1].upper() + words[1:] + (f" ({param['unit']})" if param.get("unit") else "")
    help_text, default = param.get("help") or "", param.get("default")
    if param.get("choices"):
        field: forms.Field = choice(label, [(str(item), str(item)) for item in param["choices"]], help_text)
    elif param.get("type") == "bool":
        field = choice(label, [("true", "yes"), ("false", "no")], help_text)
        default = "true" if default else "false"
    elif param.get("type") in ("int", "float"):
        limits = {name: param[name] for name in ("min", "max") if param.get(name) is not None}
        field = number(label, help_text, **({"step": 1} if param["type"] == "int" else {}), **limits)
    else:
        field = text(label, help_text)
    field.initial = default
    return field
