"""The form of a new experiment: a method, an architecture's parameters, the images' shape, the latent's division."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.forms import BoundField

from acc.errors import InvalidInput
from accsite.apps.datasets.models import Dataset
from accsite.apps.registry.methods import PREFIX as METHOD_PARAMS
from accsite.apps.registry.methods import MethodSetup
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import Visibility
from accsite.apps.trees.forms.presets import FROM_TARGETS, groups_of
from accsite.forms import ParamsForm, choice, number, param_field, text

SPARE_ROWS = 2
BEGIN = "begin"
"""The checkbox that has the experiment begin with a reconstruction of its images."""
GROUP_FIELDS = ("group-name", "group-start", "group-end")
METHOD = "method-chosen"
"""The method that the fields were filled in by, as the form carries it."""


@dataclass(frozen=True)
class GroupRow:
    """One factor group as it was typed."""

    name: str = ""
    start: str = ""
    end: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.name or self.start or self.end)


class ExperimentForm(ParamsForm):
    """A name, an architecture's parameters, and the division of the latent into factor groups.

    ``values``: what was typed into a form that is being filled in; ``data``: a form that was sent. ``method``: the
    plugin whose parameters are asked as well; ``made``: what it makes, in place of what was typed.
    """

    name = text("Name", maxlength=80)
    visibility = choice("Visible to", Visibility.choices)
    dataset = choice("Images like those of", ())
    channels = number("Image channels", min=1, step=1)
    height = number("Height, pixels", min=8, step=1)
    width = number("Width, pixels", min=8, step=1)
    seed = number("Seed", "of the first weights and the held-out rows, for all its branches", min=0, step=1)
    latent_dim = number("Latent dimensions", min=1, step=1)

    OWN_SHAPE = ("channels", "height", "width")
    FIRST = ("name", "dataset", *OWN_SHAPE, "latent_dim")
    LAST = ("seed", "visibility")

    def __init__(
        self,
        params: Iterable[Mapping[str, Any]],
        data: Any = None,
        values: Any = None,
        *,
        method: Plugin | None = None,
        made: MethodSetup | None = None,
    ) -> None:
        given = data if data is not None else values
        offered = list(Dataset.objects.order_by("-id")[:200])
        newest = offered[0] if offered else None
        defaults = {
            "dataset": newest.slug if newest else "",
            "channels": newest.channels if newest else 1,
            "height": newest.height if newest else 32,
            "width": newest.width if newest else 32,
            "latent_dim": 16,
            "seed": 0,
            "visibility": Visibility.SITE,
        }
        typed = {name: given[name] for name in given} if given is not None else {}
        if made is not None:
            typed |= {f"params-{name}": _typed(value) for name, value in made.setup.params.items()}
            typed |= {f"method-{name}": _typed(value) for name, value in made.params.items()}
            typed["latent_dim"] = made.setup.latent_dim
        super().__init__(params, data, initial={**defaults, **typed})
        self.method = method
        self.method_fields = (
            {param["name"]: f"method-{param['name']}" for param in method.params} if method else {}
        )
        for param in method.params if method else ():
            self.fields[f"method-{param['name']}"] = param_field(param)
        self.datasets = {dataset.slug: dataset for dataset in offered}
        shapes = [
            (each.slug, f"{each.name}, {each.channels} by {each.height} by {each.width}") for each in offered
        ]
        self.fields["dataset"].widget.choices = [*shapes, ("", "a shape of its own")]
        self.groups = group_rows(given)
        if values is not None and data is None and FROM_TARGETS in values:
            self.groups = self._groups_of_targets()
        self.group_errors: list[str] = []
        self.begins = BEGIN in typed or "name" not in typed
        """Whether that is ticked, as it is before anybody has seen the form."""

    def _groups_of_targets(self) -> list[GroupRow]:
        """Return a row for each target of the images that are chosen, and a few empty ones."""
        chosen, latent = self.datasets.get(str(self.initial["dataset"])), str(self.initial["latent_dim"])
        if chosen is None or not latent.isdecimal():
            return group_rows(None)
        found = groups_of(chosen.targets, int(latent))
        return [*(GroupRow(name, str(start), str(end)) for name, start, end in found), *group_rows(None)]

    @property
    def begins_on(self) -> Dataset | None:
        """Return the dataset whose reconstruction the form asks to begin with, if it does."""
        begins = BEGIN in self.data or self.method is not None
        return self.datasets.get(str(self.data.get("dataset", ""))) if begins else None

    @property
    def of_method(self) -> list[BoundField]:
        """Return the parameters of the method."""
        return [self[name] for name in self.method_fields.values()]

    def method_params(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was typed for the method's parameters, in a form that was sent or is being filled in."""
        return {name: given[field] for name, field in self.method_fields.items() if given.get(field)}

    @property
    def first(self) -> list[BoundField]:
        """Return what is asked before all else: a name, the images, how long the latent is."""
        return [self[name] for name in self.FIRST]

    @property
    def rest(self) -> list[BoundField]:
        """Return the architecture's parameters, and what can mostly stay as it is."""
        return [self[name] for name in (*self.param_fields.values(), *self.LAST)]

    def refuse(self, error: InvalidInput) -> None:
        """Show each sentence beside its field; those of factor groups beside their rows."""
        rest: dict[str, list[str]] = {}
        groups: list[str] = []
        for where, sentences in error.fields.items():
            if where.startswith(("factor_groups", "model.factor_groups")):
                groups += sentences
            else:
                of_method = self.method_fields.get(where.removeprefix(METHOD_PARAMS))
                rest[of_method if of_method and where.startswith(METHOD_PARAMS) else where] = sentences
        self.group_errors = groups
        if rest:
            super().refuse(InvalidInput(rest))

    def model(self, architecture: str) -> dict[str, Any]:
        """Return the model specification; raises InvalidInput for what cannot be read."""
        payload = self.payload()
        shape = self.datasets.get(payload.get("dataset", ""))
        if "dataset" in payload and shape is None:
            raise InvalidInput({"dataset": f"{payload['dataset']!r} is not a dataset of this site"})
        names = self.OWN_SHAPE
        image = (
            {name: getattr(shape, name) for name in names}
            if shape is not None
            else {name: payload[name] for name in names if name in payload}
        )
        rest: dict[str, Any] = {name: payload[name] for name in ("latent_dim", "seed") if name in payload}
        return {
            "architecture": architecture,
            "image": image,
            "factor_groups": [_group(row) for row in self.groups if not row.is_empty],
            "params": self.params(),
            **rest,
        }


def _typed(value: Any) -> Any:
    """Return a parameter's value as its field takes it."""
    return str(value).lower() if isinstance(value, bool) else value


def group_rows(given: Any) -> list[GroupRow]:
    """Return the rows of factor groups that were typed, and a few empty ones."""
    columns = [given.getlist(name) if given is not None else [] for name in GROUP_FIELDS]
    typed = [GroupRow(*(text.strip() for text in row)) for row in zip(*columns, strict=False)]
    rows = [row for row in typed if not row.is_empty]
    return [*rows, *([GroupRow()] * SPARE_ROWS)]


def _group(row: GroupRow) -> dict[str, Any]:
    if not row.start.isdecimal() or not row.end.isdecimal():
        wrong = row.end if row.start.isdecimal() else row.start
        raise InvalidInput(
            factor_groups=f"{wrong!r} is not a latent dimension; factor group {row.name!r} needs a whole "
            "number as its first dimension, and one as the dimension after its last"
        )
    return {"name": row.name, "start": int(row.start), "end": int(row.end)}
