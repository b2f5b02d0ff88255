"""What a checkpoint's model is made of: its own specification, the source that it keeps, its heads."""

from __future__ import annotations

import json
from typing import Any

from acc.description import Head, ModelDescription, with_heads
from acc.specs import TaskSpec, TrainJobSpec
from accsite import blobs
from accsite.apps.registry import descriptions
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.specs import model_spec_of
from accsite.apps.trees.selectors.differences import sources

HEADER_BYTES = 100_000_000  # the most that a file of tensors may begin with, as safetensors has it


def describe_checkpoint(checkpoint: Checkpoint, who: str) -> ModelDescription:
    """Return what a checkpoint's model is made of, with the heads of its tasks while its file is there.

    Raises InvalidInput and ``descriptions.NoDescription`` as ``descriptions.describe`` does.
    """
    model_spec_of(checkpoint)  # which refuses weights alone
    spec = TrainJobSpec.model_validate(checkpoint.spec)
    sha256 = sources(checkpoint.spec).get(spec.model.architecture, "")
    found = descriptions.describe(who=f"{who}:checkpoint:{checkpoint.pk}", model=spec.model, sha256=sha256)
    if checkpoint.weights_pruned_at is not None:
        return found
    shapes = _shapes(checkpoint)
    return with_heads(found, [head for task in spec.tasks if (head := _head(task, spec, shapes)) is not None])


def _head(task: TaskSpec, spec: TrainJobSpec, shapes: dict[str, tuple[int, ...]]) -> Head | None:
    start = f"head.{task.key}."
    kept = {name: shape for name, shape in shapes.items() if name.startswith(start)}
    # What an optimizer keeps something of is a parameter; a head also keeps means and the like.
    trained = {name[len("optim.") :].partition("/")[0] for name in shapes if name.startswith("optim.")}
    own = {name[len(start) :]: shape for name, shape in kept.items() if name in trained or not trained}
    if not own:
        return None
    first, end = task.latent_range(spec.model)
    return Head(task=task.key, name=task.name, kind=task.task_class, start=first, end=end, tensors=own)


def _shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in a checkpoint's file, which stand in its first bytes; {} if it is away."""
    path = blobs.at_hand(checkpoint.file, checkpoint.sha256)
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(min(length, HEADER_BYTES)))
    except (OSError, ValueError):
        return {}
    return {name: tuple(each["shape"]) for name, each in header.items() if "shape" in each}
