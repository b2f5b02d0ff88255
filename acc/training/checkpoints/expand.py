"""Grows a checkpoint: weights, heads and optimizer state go to their places in a larger model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from acc.expansion import ExpansionSpec
from acc.models import build
from acc.models.expand import Place, grow, pad
from acc.training.checkpoints.files import Checkpoint, Snapshot
from acc.training.checkpoints.restore import load_model
from acc.training.checkpoints.versions import versions
from acc.training.plugin_set import PluginSet
from acc.training.taskset import TaskSet

if TYPE_CHECKING:
    from acc.data import AccDataset


@dataclass(frozen=True)
class Expanded:
    """A grown checkpoint, and the keys of tasks whose heads could not be kept and begin anew."""

    snapshot: Snapshot
    fresh_heads: tuple[str, ...]


def expand_checkpoint(
    origin: Checkpoint, expansion: ExpansionSpec, datasets: Mapping[str, AccDataset], classes: PluginSet
) -> Expanded:
    """Return the checkpoint of the larger model, at the same step; ``origin`` stays as it is.

    Heads of tasks that read what has not changed are kept; one that reads the whole latent gets columns for
    the new dimensions (zeros for ``identity``) if it is clear where they belong, else it begins anew. The
    optimizer's state of old weights is kept, and zero for new ones. Raises CheckpointError, InvalidInput.
    """
    header = origin.header
    model = build(header.spec.model, classes.models)
    load_model(model, origin)
    larger, growth = model.grown(expansion)
    fill = 0.0 if expansion.start == "identity" else None
    places = {f"model.{name}": place for name, place in growth.places.items()}
    tensors = {f"model.{name}": tensor for name, tensor in larger.state_dict().items()}
    fresh_heads = []
    spec = header.spec.model_copy(update={"model": growth.spec})
    tasks = TaskSet(classes, larger, datasets, torch.device("cpu"))
    for task in spec.tasks:
        head = tasks.attach(task).head
        if head is None:
            continue
        old, fresh = origin.part(f"head.{task.key}"), dict(head.state_dict())
        found = pad(old, fresh)
        if found is None:
            fresh_heads.append(task.key)
            old, found = {}, {}
        for name, tensor in fresh.items():
            tensors[f"head.{task.key}.{name}"] = grow(old.get(name), tensor, found.get(name), fill=fill)
        places |= {f"head.{task.key}.{name}": place for name, place in found.items()}
    tensors |= dict(_optimizer_state(origin, tensors, places, set(fresh_heads)))
    anew = {f"{kind}.{task}" for task in fresh_heads for kind in ("task", "head")}
    state = {name: kept for name, kept in header.state.items() if name not in anew}
    kept = ("rng.", "generator.", *(f"state.{name}." for name in state))
    tensors |= {name: tensor for name, tensor in origin.tensors.items() if name.startswith(kept)}
    snapshot = Snapshot(
        step=0,
        header=dataclasses.replace(
            header, spec=spec, job_step=0, versions=versions(), device="cpu", state=state
        ),
        tensors={name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()},
    )
    return Expanded(snapshot, tuple(fresh_heads))


def _optimizer_state(
    origin: Checkpoint, tensors: Mapping[str, Tensor], places: Mapping[str, Place], fresh_heads: set[str]
) -> Iterator[tuple[str, Tensor]]:
    for key, value in origin.part("optim").items():
        name, _, slot = key.rpartition("/")
        if any(name.startswith(f"head.{task}.") for task in fresh_heads) or name not in tensors:
            continue
        place = places.get(name)
        if place is not None and value.dim():
            value = place.put(value, torch.zeros_like(tensors[name], dtype=value.dtype))  # noqa: PLW2901
        yield f"optim.{name}/{slot}", value
