"""Whether a value is still what it was, and whether two states are the same: fingerprints and descriptions."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acc.training.checkpoints.encoding import (
    GENERATORS,
    MAX_DEPTH,
    PLAIN,
    SEQUENCES,
    generator_state,
    in_order,
    is_stateful,
)

_NOT_LOOKED_INTO = frozenset({"torch", "numpy", "pydantic"}) | frozenset(sys.stdlib_module_names)
_OUR_OWN = ("acc.training.", "acc.models.", "acc.data.", "acc.specs", "acc.params")


def fingerprint(value: Any, shared: Mapping[int, object], depth: int = 0) -> Any:  # noqa: PLR0911 - one kind after another
    """Return what is equal as long as the value is. Tensors count by content: ``.data`` moves no version."""
    if id(value) in shared or isinstance(value, np.memmap):
        return "same", id(value)
    if isinstance(value, float):
        return "float", repr(value)  # so that a NaN is equal to itself
    if isinstance(value, PLAIN):
        return type(value), value
    if isinstance(value, Tensor):
        return _sign_of_tensor(value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return str(value.dtype), value.shape, _digest(value)
    if isinstance(value, tuple(SEQUENCES.values())) and depth < MAX_DEPTH:
        return type(value), tuple(fingerprint(each, shared, depth + 1) for each in in_order(value))
    if isinstance(value, dict) and depth < MAX_DEPTH:
        return "dict", tuple(
            (repr(name), fingerprint(each, shared, depth + 1)) for name, each in value.items()
        )
    if isinstance(value, GENERATORS):
        state = generator_state(value)
        return "generator", fingerprint(state.numpy() if isinstance(state, Tensor) else state, shared)
    return "object", _Identity(value)


class _Identity:
    """An object that is compared by identity, and kept so that no other gets its number."""

    __slots__ = ("it",)

    def __init__(self, it: object) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.it is self.it

    def __hash__(self) -> int:
        return id(self.it)


def _sign_of_tensor(value: Tensor) -> Any:
    try:
        flat = value.detach().resolve_conj().cpu().contiguous().reshape(-1)
        content = _digest(flat.view(torch.uint8).numpy())
    except (RuntimeError, TypeError, ValueError):  # sparse, quantized, on meta, without a shape as yet
        return "tensor", _Identity(value), value._version
    return "tensor", str(value.dtype), tuple(value.shape), str(value.device), content


def _digest(array: np.ndarray[Any, Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).digest()


def describe(path: str, value: Any, shared: Mapping[int, object], found: dict[str, Any], depth: int) -> None:
    """Put (path, content) of everything below ``value`` into ``found``: objects of a plugin are looked into."""
    if id(value) in shared or depth > MAX_DEPTH or isinstance(value, np.memmap):
        return
    if isinstance(value, PLAIN):
        found[path] = value
    elif isinstance(value, Tensor):
        found[path] = value.detach().clone()
    elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        found[path] = torch.from_numpy(np.array(value)) if value.dtype.kind in "biuf" else repr(value)
    elif isinstance(value, tuple(SEQUENCES.values())):
        for place, each in enumerate(in_order(value)):
            describe(f"{path}[{place}]", each, shared, found, depth + 1)
    elif isinstance(value, dict):
        for name, each in value.items():
            describe(f"{path}[{name!r}]", each, shared, found, depth + 1)
    elif isinstance(value, GENERATORS):
        describe(path, generator_state(value), shared, found, depth + 1)
    elif is_stateful(value):
        describe(path, dict(value.state_dict()), shared, found, depth + 1)
    elif not callable(value) and _is_of_a_plugin(type(value).__module__):
        for name, each in getattr(value, "__dict__", {}).items():
            describe(f"{path}.{name}", each, shared, found, depth + 1)


def _is_of_a_plugin(module: str) -> bool:
    return module.partition(".")[0] not in _NOT_LOOKED_INTO and not module.startswith(_OUR_OWN)


def differing(one: Mapping[str, Any], other: Mapping[str, Any], *, exactly: bool = True) -> str:
    """Return the first name under which two descriptions differ, or ''.

    Unless ``exactly``, and on any device but a CPU, floats may differ a little.
    """
    for path in sorted(one.keys() | other.keys()):
        if path not in one or path not in other or not _equal(one[path], other[path], exactly):
            return path
    return ""


def _equal(one: Any, other: Any, exactly: bool) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if (one.dtype, one.shape, one.device) != (other.dtype, other.shape, other.device):
            return False
        if (not exactly or one.device.type != "cpu") and one.is_floating_point():
            return torch.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True)
        return torch.equal(one, other) or (one.is_floating_point() and torch.allclose(one, other, 0, 0, True))
    return type(one) is type(other) and repr(one) == repr(other)
