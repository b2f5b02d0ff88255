"""What a page shows of a model: the drawing, the table, its parameters."""

from __future__ import annotations

from typing import Any

from acc.description import ModelDescription
from accsite.apps.training.models import Experiment
from accsite.apps.trees.pages import drawing

FLOAT_BYTES = 4
BEGUN_WITH = 3  # experiments whose model a new one can begin with


def newest_experiments(user: Any) -> list[Experiment]:
    """Return the newest experiments that ``user`` may see."""
    return list(Experiment.objects.visible_to(user).order_by("-pk")[:BEGUN_WITH])


def model_shown(found: ModelDescription) -> dict[str, Any]:
    """Return what the panel of a model shows."""
    return {
        "model": found,
        "drawing": drawing.drawn(found),
        "model_rows": drawing.rows(found),
        "model_parameters": drawing.short(found.parameters) or "0",
        "model_bytes": found.parameters * FLOAT_BYTES,
        "model_sentence": sentence(found),
    }


def sentence(found: ModelDescription) -> str:
    """Return the model in one sentence, for who cannot see the drawing."""
    image = drawing.shape_words((found.image.channels, found.image.height, found.image.width))
    encoder, decoder = (
        sum(layer.layers * layer.repeats for layer in found.layers if layer.part == part)
        for part in ("encoder", "decoder")
    )
    return (
        f"{found.architecture}: images of {image} through {_several(encoder, 'encoder layer')} into "
        f"{_several(found.latent_dim, 'latent dimension')} and through {_several(decoder, 'decoder layer')} back, "
        f"{_several(found.parameters, 'parameter')}"
    )


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
