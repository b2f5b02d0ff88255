"""From a specification to a model, the same weights every time, that does what its specification says."""

from __future__ import annotations

from collections.abc import Mapping

from acc.errors import InvalidInput
from acc.models.autoencoder import Autoencoder, ConvVAE
from acc.models.base import Model
from acc.models.check import check_passes, is_lazy
from acc.models.factor_slot import FactorSlotAutoencoder
from acc.rng import seeded
from acc.specs import ModelSpec

__all__ = ["BUILT_IN", "architecture_of", "build", "is_lazy"]

BUILT_IN: Mapping[str, type[Model]] = {
    cls.__name__: cls for cls in (Autoencoder, ConvVAE, FactorSlotAutoencoder)
}


def build(spec: ModelSpec, architectures: Mapping[str, type[Model]] | None = None) -> Model:
    """Return the model that ``spec`` describes, on the CPU, initialised from ``spec.seed`` alone.

    Two images were run through it, which gives lazy layers their shapes. The caller's random state is left as it
    was. ``architectures`` adds to the built-in ones (or hides them). Raises InvalidInput (architecture, params.*)
    with what would be right, also for a model that does not give what its specification says.
    """
    cls = architecture_of(spec, architectures)
    with seeded(spec.seed):
        return check_passes(cls, spec)


def architecture_of(spec: ModelSpec, architectures: Mapping[str, type[Model]] | None = None) -> type[Model]:
    """Return the class that ``spec`` names, of the built-in ones or those given; raises InvalidInput (architecture)."""
    known = {**BUILT_IN, **(architectures or {})}
    cls = known.get(spec.architecture)
    if cls is None:
        raise InvalidInput(
            architecture=f"{spec.architecture!r} is not a known architecture; "
            f"known: {', '.join(sorted(known))}"
        )
    return cls
