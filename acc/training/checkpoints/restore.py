"""States put back into models and heads: all of it, or nothing and a sentence."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from acc.errors import CheckpointError
from acc.models import Model
from acc.training.checkpoints.extra_state import ExtraState
from acc.training.checkpoints.files import Checkpoint


def load_model(model: Model, origin: Checkpoint, extra: ExtraState | None = None) -> None:
    """Load weights, buffers and plain values; raises CheckpointError if they are of another model.

    Plain tensors come to the device that the model is on: move it there before. extra: of the model as it was
    made, if anything may have changed since.
    """
    state, own = origin.part("model"), model.state_dict()
    wrong = sorted(state.keys() ^ own.keys()) or sorted(
        name for name in own if own[name].shape != state[name].shape
    )
    if wrong:
        spec = origin.header.spec.model
        raise CheckpointError(
            f"the checkpoint is of another model ({spec.architecture}, latent_dim {spec.latent_dim}) than "
            f"this one ({model.spec.architecture}, latent_dim {model.spec.latent_dim}); "
            f"they differ first in '{wrong[0]}'"
        )
    model.load_state_dict(state)
    device = next((tensor.device for tensor in own.values()), None)
    load_state(extra or ExtraState(model), "model", origin, device)


def load_head(head: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Load a head's state if every name and shape fits, else leave it; return whether it fitted."""
    own = head.state_dict()
    if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
        return False
    head.load_state_dict(dict(state))
    return True


def load_state(extra: ExtraState, name: str, origin: Checkpoint, device: torch.device | None = None) -> None:
    """Put back what a checkpoint keeps of ``name`` beside weights; raises CheckpointError if it does not fit."""
    extra.load(origin.header.state.get(name, {}), origin.tensors, device or torch.device("cpu"))
