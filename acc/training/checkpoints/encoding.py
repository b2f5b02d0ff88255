"""Values as a checkpoint keeps them: JSON in its header, with their tensors beside it. Nothing is pickled.

Kept are plain values (numbers, texts), tensors, arrays, lists, tuples, sets and dicts of these, and, not inside of
such a container, random generators and whatever has ``state_dict`` and ``load_state_dict``.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Encoded = Any
"""JSON: scalars as they are; all else is an object whose ``is`` says what it was."""

PLAIN = (bool, int, float, str, type(None))
SEQUENCES: dict[str, type] = {
    "list": list,
    "tuple": tuple,
    "deque": deque,
    "set": set,
    "frozenset": frozenset,
}
GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
MAX_DEPTH = 8


class NotKept(Exception):
    """A value of a kind that no checkpoint keeps."""


def is_stateful(value: Any) -> bool:
    """Return whether a value has a state of its own that is loaded into it, as modules and optimizers have."""
    kind = type(value)
    return not isinstance(value, type) and all(
        callable(getattr(kind, name, None)) for name in ("state_dict", "load_state_dict")
    )


def in_order(value: Any) -> Iterable[Any]:
    """Return the members of a sequence; those of a set always in the same order."""
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else value


def kind_of(encoded: Encoded) -> str:
    """Return what an encoded value was."""
    return str(encoded.get("is")) if isinstance(encoded, dict) else "plain"


def encode(value: Any, at: str, tensors: dict[str, Tensor], depth: int = 0) -> Encoded:
    """Return the value as JSON, its tensors in ``tensors`` under names that begin with ``at``; raises NotKept.

    What is loaded into the object that is there, a generator or a module, cannot be in a container: nothing tells
    which of the objects there it would be.
    """
    if depth > MAX_DEPTH:
        raise NotKept
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.is_quantized:
            raise NotKept
        tensors[at] = value.detach()
        return {"is": "tensor", "at": at, "on": "cpu" if value.device.type == "cpu" else "device"}
    if isinstance(value, np.ndarray | np.generic):
        try:
            tensors[at] = torch.from_numpy(np.array(value, copy=True))
        except TypeError:
            raise NotKept from None
        return {"is": "array" if isinstance(value, np.ndarray) else "number", "at": at}
    if type(value) in SEQUENCES.values() or isinstance(value, dict):
        return _encode_container(value, at, tensors, depth + 1)
    if depth:
        raise NotKept
    if isinstance(value, GENERATORS):
        return {"is": "generator", "state": encode(generator_state(value), at, tensors)}
    if is_stateful(value):
        return {"is": "stateful", "state": encode(dict(value.state_dict()), at, tensors)}
    raise NotKept


def _encode_container(value: Any, at: str, tensors: dict[str, Tensor], depth: int) -> Encoded:
    if isinstance(value, dict):
        if any(isinstance(name, Tensor) for name in value):
            raise NotKept  # as a key it counts by identity
        pairs = [
            [
                encode(name, f"{at}.{place}.key", tensors, depth),
                encode(one, f"{at}.{place}", tensors, depth),
            ]
            for place, (name, one) in enumerate(value.items())
        ]
        return {"is": "dict", "of": pairs}
    of = [encode(each, f"{at}.{place}", tensors, depth) for place, each in enumerate(in_order(value))]
    kind = next(name for name, kind in SEQUENCES.items() if type(value) is kind)
    return {"is": kind, "of": of, "most": getattr(value, "maxlen", None)}


def decode(  # noqa: PLR0911
    encoded: Encoded, old: Any, tensors: Mapping[str, Tensor], device: torch.device
) -> Any:
    """Return the value, in the object ``old`` where that has a state of its own."""
    kind = kind_of(encoded)
    if kind == "plain":
        return encoded
    if kind == "tensor":
        found = tensors[encoded["at"]]
        fits = isinstance(old, Tensor) and old.shape == found.shape and old.dtype == found.dtype
        if fits and old.is_leaf and (old.device.type == "cpu") == (encoded["on"] == "cpu"):
            with torch.no_grad():
                return old.copy_(found)  # an optimizer may know it
        return found.detach().clone().to("cpu" if encoded["on"] == "cpu" else device)
    if kind in {"array", "number"}:
        array = tensors[encoded["at"]].numpy().copy()
        return array if kind == "array" else array[()]
    if kind in SEQUENCES:
        items = [decode(each, None, tensors, device) for each in encoded["of"]]
        return deque(items, encoded["most"]) if kind == "deque" else SEQUENCES[kind](items)
    if kind == "dict":
        return {
            decode(name, None, tensors, device): decode(each, None, tensors, device)
            for name, each in encoded["of"]
        }
    state = decode(encoded["state"], None, tensors, device)
    if kind == "generator":
        load_generator(old, state)
    else:
        old.load_state_dict(state)
    return old


def misfit(old: Any, encoded: Encoded, tensors: Mapping[str, Tensor]) -> str:
    """Return why a kept value cannot be put back, or ''."""
    kind = kind_of(encoded)
    if kind == "generator" and not isinstance(old, GENERATORS):
        return "was a random generator, which there is not now; make it in attach"
    if kind != "stateful":
        return ""
    if not is_stateful(old):
        return "was a module or an optimizer, which there is not now; make it in attach or build_head"
    state = decode(encoded["state"], None, tensors, torch.device("cpu"))
    if isinstance(old, nn.Module):
        own = old.state_dict()
        wrong = sorted(own.keys() ^ state.keys()) or sorted(
            name for name, each in own.items() if isinstance(each, Tensor) and each.shape != state[name].shape
        )
        return f"is not as it was made: '{wrong[0]}' has another shape, or is not there" if wrong else ""
    if isinstance(old, torch.optim.Optimizer):
        parameters = [one for group in old.param_groups for one in group["params"]]
        known = [one for group in state["param_groups"] for one in group["params"]]
        fits = len(parameters) == len(known) and all(
            value.dim() == 0 or value.shape == parameter.shape
            for parameter, number in zip(parameters, known, strict=True)
            for value in state["state"].get(number, {}).values()
            if isinstance(value, Tensor)
        )
        return "" if fits else "is an optimizer of other parameters than it was"
    return ""


def generator_state(value: Any) -> Any:
    """Return the state of a random generator."""
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return dict(value.bit_generator.state)
    return value.get_state(legacy=False) if isinstance(value, np.random.RandomState) else value.getstate()


def load_generator(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state.cpu())
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)
