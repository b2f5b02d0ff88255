"""A model of a loop of one's own as a checkpoint's file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acc.errors import InvalidInput
from acc.models import BUILT_IN, Model
from acc.specs import ModelSpec, TrainJobSpec, TrainSpec
from acc.training.checkpoints.files import Snapshot, write_atomically
from acc.training.checkpoints.header import WEIGHTS_KEY, Header
from acc.training.plugin_set import PluginSet

WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel")


def write_weights(folder: Path, model: Any, step: int, spec: Any) -> tuple[Path, dict[str, Any]]:
    """Write a checkpoint into ``folder`` and return its file, and what the journal says of it.

    With a ModelSpec, given or carried by the model, it is a checkpoint as a training of ACC would write it; without
    one, the weights and the name of their class. Raises InvalidInput for a model that is none.
    """
    bare = unwrapped(model)
    if spec is None and isinstance(getattr(bare, "spec", None), ModelSpec):
        spec = bare.spec
    if spec is not None and not isinstance(spec, ModelSpec):
        raise InvalidInput(spec=f"{spec!r} is no ModelSpec; give an acc.specs.ModelSpec, or nothing")
    name = re.sub(r"\W", "", type(bare).__name__) if isinstance(bare, nn.Module) else ""
    tensors = _tensors(bare)
    if spec is not None:
        job = TrainJobSpec(model=spec, tasks=(), datasets={}, train=TrainSpec(steps=max(1, step)))
        named = [] if spec.architecture in BUILT_IN or not isinstance(bare, Model) else [spec.architecture]
        carried = PluginSet(type(bare)).sources(named) if named else {}
        header = Header(spec=job, job_step=step, global_step=step, lr=0.0, plugins=carried)
        data = Snapshot(step, header, {f"model.{key}": tensor for key, tensor in tensors.items()}).as_bytes()
    else:
        from safetensors.torch import save

        data = save(tensors, metadata={WEIGHTS_KEY: json.dumps({"class": name})})
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"step-{step}.safetensors"
    sha256 = write_atomically(draft, data)
    path = draft.replace(folder / f"step-{step}-{sha256[:12]}.safetensors")
    return path, {"file": path.name, "sha256": sha256, "bytes": len(data), "class": name}


def unwrapped(model: Any) -> Any:
    """Return the module itself, without what torch wraps around one that is compiled, or of several ranks."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif type(model).__name__ in WRAPPERS:
            model = model.module
        else:
            return model


def _tensors(model: Any) -> dict[str, Tensor]:
    """Return the weights by name, on the host, each with memory of its own."""
    state = model.state_dict() if isinstance(model, nn.Module) else model
    if not isinstance(state, Mapping) or not state:
        raise InvalidInput(
            model=f"a {type(model).__name__} has no weights; give a torch module or its state dict"
        )
    wrong = [
        key for key, value in state.items() if not isinstance(key, str) or not isinstance(value, torch.Tensor)
    ]
    if wrong:
        raise InvalidInput(
            model=f"{wrong[0]!r} of its state is no tensor; give a torch module or its state dict"
        )
    with torch.no_grad():
        return {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
