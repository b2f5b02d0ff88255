"""How pages call a checkpoint: by its tag, else by its branch and its step. Its number and hash are for machines."""

from __future__ import annotations

from accsite.apps.training.models import Checkpoint


def place(checkpoint: Checkpoint) -> str:
    """Return where in its tree a checkpoint stands, such as ``main at step 3,000``."""
    return f"{checkpoint.branch.name} at step {checkpoint.step:,}"


def called(checkpoint: Checkpoint) -> str:
    """Return the tag of a checkpoint, else where it stands."""
    return checkpoint.tag or place(checkpoint)


def numbered(checkpoint: Checkpoint) -> str:
    """Return the tag of a checkpoint, else its step, and its number: where it is found or named by that."""
    return f"{checkpoint.tag or f'Step {checkpoint.step:,}'} · checkpoint {checkpoint.pk}"


def tag_or_kind(checkpoint: Checkpoint) -> str:
    """Return what is said of a checkpoint beside its branch and its step."""
    return checkpoint.tag or checkpoint.kind
