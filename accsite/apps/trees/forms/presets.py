"""Beginnings of a new experiment: architectures with parameters and factor groups that fill its form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from acc.specs import FactorGroup, ModelSpec
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import Experiment

GROUPS = (("digit", 0, 6), ("thickness", 6, 8), ("slant", 8, 10))


@dataclass(frozen=True)
class Preset:
    """What a button fills in. query: as it stands behind the address of the form."""

    label: str
    about: str
    architecture: str
    latent_dim: int
    params: dict[str, object] = field(default_factory=dict)
    groups: tuple[tuple[str, int, int], ...] = ()

    @property
    def query(self) -> str:
        pairs: list[tuple[str, object]] = [
            ("architecture", self.architecture),
            ("latent_dim", self.latent_dim),
            *((f"params-{name}", _text(value)) for name, value in self.params.items()),
        ]
        for name, start, end in self.groups:
            pairs += [("group-name", name), ("group-start", start), ("group-end", end)]
        return urlencode(pairs)


SHIPPED = (
    Preset("Small", "a VAE that trains in a minute", "ConvVAE", 10, {"base_channels": 8, "depth": 3}),
    Preset(
        "Medium", "a wider VAE, one level deeper", "ConvVAE", 16, {"base_channels": 32, "depth": 4}, GROUPS
    ),
    Preset(
        "Factor slots",
        "a slot for each factor group, read by attention",
        "FactorSlotAutoencoder",
        16,
        {"channels": 32, "grid": 8},
        GROUPS,
    ),
    Preset("Linear floor", "what a code holds without any curve", "LinearAutoencoder", 16),
)


def presets(plugins: Iterable[Plugin], experiments: Iterable[Experiment]) -> list[Preset]:
    """Return those whose architecture is there, and the models of some experiments."""
    known = {plugin.name for plugin in plugins}
    own = [_of(experiment) for experiment in experiments if experiment.model_spec]
    return [each for each in (*SHIPPED, *own) if each.architecture in known]


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
