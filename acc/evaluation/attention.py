"""Cross-attention maps: from which slot each place of the picture was drawn."""

from __future__ import annotations

import torch

from acc.errors import InvalidInput
from acc.evaluation.encoding import Encoded, to_pixels
from acc.results import AttentionMaps

COUNT = 8


def attention_maps(encoded: Encoded, *, count: int = COUNT, seed: int = 0) -> AttentionMaps:
    """Return the maps of ``count`` fixed images; they sum to 1 over the slots at each place.

    Raises InvalidInput (attention) for a model whose decoder has no cross-attention, or latents that are not
    finite.
    """
    rows = encoded.examples(count, seed)
    output = encoded.model.encode(encoded.stored.batch(rows).images)
    attention = output.attention
    if attention is None:
        architecture = encoded.model.spec.architecture
        raise InvalidInput(
            {"attention": f"the decoder of {architecture} has no cross-attention; FactorSlotAutoencoder has"}
        )
    if not bool(torch.isfinite(attention).all()):
        raise InvalidInput({"attention": encoded.not_finite or "the attention is not a finite number"})
    names = encoded.model.slot_names
    return AttentionMaps(
        dataset_key=encoded.dataset_key,
        slots=names
        if len(names) == attention.shape[1]
        else tuple(f"slot {n}" for n in range(attention.shape[1])),
        indices=tuple(rows.tolist()),
        inputs=encoded.images(rows),
        outputs=to_pixels(output.reconstruction).cpu().numpy(),
        maps=attention.float().cpu().numpy(),
    )
