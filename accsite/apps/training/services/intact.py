"""Refuses what would begin at a checkpoint whose weights are not there, or are not what was recorded."""

from __future__ import annotations

from pathlib import Path

from acc.errors import InvalidInput
from accsite import blobs
from accsite.apps.training.models import Checkpoint
from accsite.errors import WrongState


def require_intact(checkpoint: Checkpoint, field: str) -> Path:
    """Return a local path of the checkpoint's file, its content verified.

    Raises InvalidInput(field) for a file that is missing or changed, naming it and both hashes, WrongState(field)
    for a checkpoint that was deleted or whose weights were pruned.
    """
    require_weights(checkpoint, field)
    try:
        return blobs.open_local(checkpoint.file, checkpoint.sha256)
    except blobs.BlobDamaged as error:
        raise InvalidInput({field: f"checkpoint {checkpoint.pk} cannot be used: {error}"}) from error


def require_weights(checkpoint: Checkpoint, field: str) -> None:
    """Raise WrongState(field) for a checkpoint that was deleted or whose weights were pruned."""
    current = Checkpoint.everything.only("deleted_at", "weights_pruned_at").filter(pk=checkpoint.pk).first()
    if current is None or current.deleted_at is not None:
        raise WrongState(
            {field: f"checkpoint {checkpoint.pk} was deleted; restore it first, or choose another"}
        )
    if current.weights_pruned_at is not None:
        raise WrongState(
            {
                field: f"the weights of checkpoint {checkpoint.pk} were pruned on "
                f"{current.weights_pruned_at:%Y-%m-%d} to make room; choose another, or train it again"
            }
        )
