"""Beginnings of a new experiment: architectures with parameters and factor groups that fill its form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from acc.specs import FactorGroup, ModelSpec
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import Experiment

FROM_TARGETS = "groups"
"""What of an address has the form begin with a factor group for each target of the images that are chosen."""
MAX_NAME = 64
CLASS_DIMENSIONS, REAL_DIMENSIONS = 6, 2


@dataclass(frozen=True)
class Preset:
    """What a button fills in. query: as it stands behind the address of the form."""

    label: str
    about: str
    architecture: str
    latent_dim: int
    params: dict[str, object] = field(default_factory=dict)
    groups: tuple[tuple[str, int, int], ...] = ()
    from_targets: bool = False
    """Whether its groups are those of the targets of the images that are chosen in the form."""

    @property
    def query(self) -> str:
        pairs: list[tuple[str, object]] = [
            ("architecture", self.architecture),
            ("latent_dim", self.latent_dim),
            *((f"params-{name}", _text(value)) for name, value in self.params.items()),
        ]
        if self.from_targets:
            pairs.append((FROM_TARGETS, "targets"))
        for name, start, end in self.groups:
            pairs += [("group-name", name), ("group-start", start), ("group-end", end)]
        return urlencode(pairs)


SHIPPED = (
    Preset("Small", "a VAE that trains in a minute", "ConvVAE", 10, {"base_channels": 8, "depth": 3}),
    Preset(
        "Medium",
        "a wider VAE, one level deeper, with a factor group for each target",
        "ConvVAE",
        16,
        {"base_channels": 32, "depth": 4},
        from_targets=True,
    ),
    Preset(
        "Factor slots",
        "a slot for each target, read by attention",
        "FactorSlotAutoencoder",
        16,
        {"channels": 32, "grid": 8},
        from_targets=True,
    ),
    Preset("Linear floor", "what a code holds without any curve", "LinearAutoencoder", 16),
)


def presets(plugins: Iterable[Plugin], experiments: Iterable[Experiment]) -> list[Preset]:
    """Return those whose architecture is there, and the models of some experiments."""
    known = {plugin.name for plugin in plugins}
    own = [_of(experiment) for experiment in experiments if experiment.model_spec]
    return [each for each in (*SHIPPED, *own) if each.architecture in known]


def groups_of(targets: Iterable[Mapping[str, Any]], latent_dim: int) -> list[tuple[str, int, int]]:
    """Return a factor group (name, start, end) for each target that a latent has room for, and leaves one free.

    A column that is named after another one (``asked_slant`` beside ``slant``) is the same factor once more. targets:
    ``acc.specs.TargetSpec`` of each as plain data.
    """
    columns = [each for each in targets if len(str(each["name"])) <= MAX_NAME]
    names = [str(each["name"]) for each in columns]
    found: list[tuple[str, int, int]] = []
    at = 0
    for column, name in zip(columns, names, strict=True):
        width = CLASS_DIMENSIONS if column["kind"] == "class" else REAL_DIMENSIONS
        again = any(other in name.split("_") for other in names if other != name)
        if again or at + width >= latent_dim:
            continue
        found.append((name, at, at + width))
        at += width
    return found


def _of(experiment: Experiment) -> Preset:
    spec = ModelSpec.model_validate(experiment.model_spec)
    groups: Iterable[FactorGroup] = spec.factor_groups
    return Preset(
        f"As {experiment.name}",
        "the model of this experiment",
        spec.architecture,
        spec.latent_dim,
        spec.params,
        tuple((group.name, group.start, group.end) for group in groups),
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
