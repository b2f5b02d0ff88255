"""What a task or a model holds beside parameters and buffers: found, kept in the checkpoint, put back exactly.

Kept are plain values (numbers, texts), tensors, arrays, lists, tuples, sets and dicts of these, and, as attributes of
their own, random generators and whatever has ``state_dict`` and ``load_state_dict``: modules, optimizers, their
schedulers. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import inspect
import random
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from acc.errors import CheckpointError
from acc.params import Param
from acc.text import in_words

Encoded = Any
"""JSON: scalars as they are; all else is an object whose ``is`` says what it was."""

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_PLAIN = (bool, int, float, str, type(None))
_SEQUENCES: dict[str, type] = {
    "list": list,
    "tuple": tuple,
    "deque": deque,
    "set": set,
    "frozenset": frozenset,
}
_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_NOT_LOOKED_INTO = frozenset({"torch", "numpy", "pydantic"}) | frozenset(sys.stdlib_module_names)
_OUR_OWN = ("acc.training.", "acc.models.", "acc.data.", "acc.specs", "acc.params")
_DEPTH = 8


class _Escapes(Exception):
    """A value of a kind that no checkpoint keeps."""


@dataclass(frozen=True)
class _Attribute:
    path: str
    name: str
    value: Any
    holder: Any


class Holdings:
    """The attributes of one task or module, and of the modules in it, compared with how they were made.

    shared: what belongs to others (to a task: the model, its parts and parameters, the dataset and its arrays), not
    looked into. left_out: paths of what the last ``state`` found changed and could not keep.
    """

    def __init__(self, owner: object, shared: Iterable[object] = ()) -> None:
        self.owner = owner
        self._shared = {id(one): one for one in shared}  # kept, so that no other object gets its number
        self._made = {
            each.path: (self._sign(each.value), self._copied(each.value)) for each in self._attributes()
        }
        self.left_out: list[str] = []

    def _attributes(self) -> Iterator[_Attribute]:
        if isinstance(self.owner, nn.Module):
            yield from self._of_module(self.owner, "")
            return
        for name, value in list(vars(self.owner).items()):
            yield _Attribute(name, name, value, self.owner)
            if isinstance(value, nn.Module) and id(value) not in self._shared:
                yield from self._of_module(value, f"{name}.")

    @staticmethod
    def _of_module(owner: nn.Module, start: str) -> Iterator[_Attribute]:
        counted = {id(tensor) for tensor in [*owner.parameters(), *owner.buffers()]}
        for prefix, module in owner.named_modules(prefix=start.rstrip(".")):
            at = f"{prefix}." if prefix else ""
            derived = getattr(module, "derived", ())
            for name, value in list(vars(module).items()):
                if (
                    name in _OF_EVERY_MODULE
                    or name in derived
                    or (callable(value) and not _is_stateful(value))
                ):
                    continue
                if isinstance(value, list | tuple) and value and all(id(one) in counted for one in value):
                    continue  # its own parameters once more, as recurrent layers keep them
                yield _Attribute(at + name, name, value, module)
            for name in sorted(module._non_persistent_buffers_set.difference(derived)):
                yield _Attribute(at + name, name, module._buffers.get(name), module)

    def _own(self) -> Iterator[_Attribute]:
        return (each for each in self._attributes() if id(each.value) not in self._shared)

    def modules(self) -> list[nn.Module]:
        """Return the modules that a task keeps beside its head."""
        return [each.value for each in self._own() if isinstance(each.value, nn.Module)]

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield (path, parameter) of what a task keeps beside its head and no optimizer of its own trains."""
        seen = self._shared.keys() | {
            id(parameter)
            for each in self._own()
            if isinstance(each.value, torch.optim.Optimizer)
            for group in each.value.param_groups
            for parameter in group["params"]
        }
        for each in self._own():
            found: list[tuple[str, nn.Parameter]] = []
            if isinstance(each.value, nn.Parameter):
                found = [(each.path, each.value)]
            elif isinstance(each.value, nn.Module):
                found = [(f"{each.path}.{name}", one) for name, one in each.value.named_parameters()]
            for path, parameter in found:
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield path, parameter

    # --- into a checkpoint and back ------------------------------

    def state(self, prefix: str, tensors: dict[str, Tensor]) -> dict[str, Encoded]:
        """Return path -> what is not as it was made; its tensors go into ``tensors``, named from ``prefix`` on.

        A value of a kind that cannot be kept is left out, and named in ``left_out``.
        """
        found: dict[str, Encoded] = {}
        self.left_out = []
        for each in self._own():
            if self._is_as_made(each):
                continue
            own: dict[str, Tensor] = {}
            try:
                found[each.path] = _encoded(each.value, f"{prefix}.{each.path}", own)
            except _Escapes:
                self.left_out.append(each.path)
                continue
            tensors |= own
        return found

    def lacks(self, state: Mapping[str, Encoded]) -> bool:
        """Return whether ``state`` is of a module or optimizer that is not there (yet)."""
        here = {each.path for each in self._own() if _is_stateful(each.value)}
        return any(_kind(each) == "stateful" and path not in here for path, each in state.items())

    def load(self, state: Mapping[str, Encoded], tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Put everything back as ``state`` has it, and what it does not name as it was made.

        Raises CheckpointError, naming the attribute, where something does not fit; then nothing is changed. A state
        that ACC cannot have written raises it too.
        """
        try:
            self._load(state, tensors, device)
        except (CheckpointError, MemoryError):
            raise
        except Exception as error:  # a file may say anything, and a plugin's load_state_dict raise anything
            raise CheckpointError(
                f"what it keeps beside weights cannot be read: {in_words(error)}"
            ) from error

    def _load(
        self, state: Mapping[str, Encoded], tensors: Mapping[str, Tensor], device: torch.device
    ) -> None:
        here = {each.path: each for each in self._own()}
        holders = {path: here[path].holder if path in here else self._holder(path) for path in state}
        for path, encoded in state.items():
            reason = _misfit(here[path].value if path in here else None, encoded, tensors)
            if reason:
                raise CheckpointError(f"its '{path}' {reason}")
        for path, encoded in state.items():
            old = here[path].value if path in here else None
            value = _decoded(encoded, old, tensors, device)
            if value is not old:
                setattr(holders[path], path.rpartition(".")[2], value)
        for path, each in here.items():
            if path in state or _is_stateful(each.value) or self._is_as_made(each):
                continue
            if path in self._made:
                setattr(each.holder, each.name, self._copied(self._made[path][1]))
            else:
                delattr(each.holder, each.name)

    def _holder(self, path: str) -> Any:
        """Return whose attribute ``path`` will be. A file says it, so it must be one that is kept of its own accord.

        Raises CheckpointError for any other: the class and its methods are those of the whole process.
        """
        *parts, name = path.split(".")
        holder = self.owner
        for part in parts:
            inside = holder._modules if isinstance(holder, nn.Module) else vars(holder)
            holder = inside.get(part)
            if not isinstance(holder, nn.Module) or id(holder) in self._shared:
                raise CheckpointError(f"its '{path}' is an attribute of what is no module of its own")
        declared = inspect.getattr_static(type(holder), name, None)
        is_of_class = not isinstance(declared, Param) and (
            callable(declared) or hasattr(type(declared), "__get__")
        )
        is_of_module = isinstance(holder, nn.Module) and name in _OF_EVERY_MODULE
        if not name or name.startswith("__") or is_of_class or is_of_module:
            raise CheckpointError(f"its '{path}' is part of the class, which no checkpoint changes")
        return holder

    def _copied(self, value: Any) -> Any:
        """Return a copy of plain values, arrays and what holds them; anything else is the same object."""
        if id(value) in self._shared:
            return value
        if type(value) in _SEQUENCES.values():
            items = [self._copied(each) for each in value]
            return deque(items, value.maxlen) if isinstance(value, deque) else type(value)(items)
        if type(value) is dict:
            return {name: self._copied(each) for name, each in value.items()}
        return value.copy() if type(value) is np.ndarray else value

    def _is_as_made(self, each: _Attribute) -> bool:
        made = self._made.get(each.path)
        return made is not None and not _is_stateful(each.value) and made[0] == self._sign(each.value)

    def _sign(self, value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 - one kind after another
        """Return what is equal as long as the value is. Tensors count by content: ``.data`` moves no version."""
        if id(value) in self._shared or isinstance(value, np.memmap):
            return "same", id(value)
        if isinstance(value, float):
            return "float", repr(value)  # so that a NaN is equal to itself
        if isinstance(value, _PLAIN):
            return type(value), value
        if isinstance(value, Tensor):
            return _sign_of_tensor(value)
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return str(value.dtype), value.shape, _digest(value)
        if isinstance(value, tuple(_SEQUENCES.values())) and depth < _DEPTH:
            return type(value), tuple(self._sign(each, depth + 1) for each in _in_order(value))
        if isinstance(value, dict) and depth < _DEPTH:
            return "dict", tuple((repr(name), self._sign(each, depth + 1)) for name, each in value.items())
        if isinstance(value, _GENERATORS):
            state = _state_of_generator(value)
            return "generator", self._sign(state.numpy() if isinstance(state, Tensor) else state)
        return "object", _Held(value)

    def described(self) -> dict[str, Any]:
        """Return path -> content of everything that can be seen, also of what no checkpoint keeps."""
        found: dict[str, Any] = {}
        for each in self._own():
            _describe(each.path, each.value, self._shared, found, 0)
        return found


class _Held:
    """An object that is compared by identity, and kept so that no other gets its number."""

    __slots__ = ("it",)

    def __init__(self, it: object) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.it is self.it

    def __hash__(self) -> int:
        return id(self.it)


def _sign_of_tensor(value: Tensor) -> Any:
    try:
        flat = value.detach().resolve_conj().cpu().contiguous().reshape(-1)
        content = _digest(flat.view(torch.uint8).numpy())
    except (RuntimeError, TypeError, ValueError):  # sparse, quantized, on meta, without a shape as yet
        return "tensor", _Held(value), value._version
    return "tensor", str(value.dtype), tuple(value.shape), str(value.device), content


def _digest(array: np.ndarray[Any, Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).digest()


def shared_with(model: nn.Module, *others: object) -> list[object]:
    """Return what tasks may refer to and does not belong to them."""
    return [*model.modules(), *model.parameters(), *model.buffers(), *others]


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


def _is_stateful(value: Any) -> bool:
    kind = type(value)
    return not isinstance(value, type) and all(
        callable(getattr(kind, name, None)) for name in ("state_dict", "load_state_dict")
    )


def _in_order(value: Any) -> Iterable[Any]:
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else value


def _kind(encoded: Encoded) -> str:
    return str(encoded.get("is")) if isinstance(encoded, dict) else "plain"


def _encoded(value: Any, at: str, tensors: dict[str, Tensor], depth: int = 0) -> Encoded:
    """Return the value as JSON, its tensors in ``tensors`` under names that begin with ``at``; raises _Escapes.

    What is loaded into the object that is there, a generator or a module, cannot be in a container: nothing tells
    which of the objects there it would be.
    """
    if depth > _DEPTH:
        raise _Escapes
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.is_quantized:
            raise _Escapes
        tensors[at] = value.detach()
        return {"is": "tensor", "at": at, "on": "cpu" if value.device.type == "cpu" else "device"}
    if isinstance(value, np.ndarray | np.generic):
        try:
            tensors[at] = torch.from_numpy(np.array(value, copy=True))
        except TypeError:
            raise _Escapes from None
        return {"is": "array" if isinstance(value, np.ndarray) else "number", "at": at}
    if type(value) in _SEQUENCES.values() or isinstance(value, dict):
        return _encoded_container(value, at, tensors, depth + 1)
    if depth:
        raise _Escapes
    if isinstance(value, _GENERATORS):
        return {"is": "generator", "state": _encoded(_state_of_generator(value), at, tensors)}
    if _is_stateful(value):
        return {"is": "stateful", "state": _encoded(dict(value.state_dict()), at, tensors)}
    raise _Escapes


def _encoded_container(value: Any, at: str, tensors: dict[str, Tensor], depth: int) -> Encoded:
    if isinstance(value, dict):
        if any(isinstance(name, Tensor) for name in value):
            raise _Escapes  # as a key it counts by identity
        pairs = [
            [
                _encoded(name, f"{at}.{place}.key", tensors, depth),
                _encoded(one, f"{at}.{place}", tensors, depth),
            ]
            for place, (name, one) in enumerate(value.items())
        ]
        return {"is": "dict", "of": pairs}
    of = [_encoded(each, f"{at}.{place}", tensors, depth) for place, each in enumerate(_in_order(value))]
    kind = next(name for name, kind in _SEQUENCES.items() if type(value) is kind)
    return {"is": kind, "of": of, "most": getattr(value, "maxlen", None)}


def _decoded(  # noqa: PLR0911
    encoded: Encoded, old: Any, tensors: Mapping[str, Tensor], device: torch.device
) -> Any:
    """Return the value, in the object ``old`` where that has a state of its own."""
    kind = _kind(encoded)
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
    if kind in _SEQUENCES:
        items = [_decoded(each, None, tensors, device) for each in encoded["of"]]
        return deque(items, encoded["most"]) if kind == "deque" else _SEQUENCES[kind](items)
    if kind == "dict":
        return {
            _decoded(name, None, tensors, device): _decoded(each, None, tensors, device)
            for name, each in encoded["of"]
        }
    state = _decoded(encoded["state"], None, tensors, device)
    if kind == "generator":
        _load_generator(old, state)
    else:
        old.load_state_dict(state)
    return old


def _misfit(old: Any, encoded: Encoded, tensors: Mapping[str, Tensor]) -> str:
    """Return why a kept value cannot be put back, or ''."""
    kind = _kind(encoded)
    if kind == "generator" and not isinstance(old, _GENERATORS):
        return "was a random generator, which there is not now; make it in attach"
    if kind != "stateful":
        return ""
    if not _is_stateful(old):
        return "was a module or an optimizer, which there is not now; make it in attach or build_head"
    state = _decoded(encoded["state"], None, tensors, torch.device("cpu"))
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


def _state_of_generator(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return dict(value.bit_generator.state)
    return value.get_state(legacy=False) if isinstance(value, np.random.RandomState) else value.getstate()


def _load_generator(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state.cpu())
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)


def _describe(path: str, value: Any, shared: Mapping[int, object], found: dict[str, Any], depth: int) -> None:
    """Put (path, content) of everything below ``value`` into ``found``: objects of a plugin are looked into."""
    if id(value) in shared or depth > _DEPTH or isinstance(value, np.memmap):
        return
    if isinstance(value, _PLAIN):
        found[path] = value
    elif isinstance(value, Tensor):
        found[path] = value.detach().clone()
    elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        found[path] = torch.from_numpy(np.array(value)) if value.dtype.kind in "biuf" else repr(value)
    elif isinstance(value, tuple(_SEQUENCES.values())):
        for place, each in enumerate(_in_order(value)):
            _describe(f"{path}[{place}]", each, shared, found, depth + 1)
    elif isinstance(value, dict):
        for name, each in value.items():
            _describe(f"{path}[{name!r}]", each, shared, found, depth + 1)
    elif isinstance(value, _GENERATORS):
        _describe(path, _state_of_generator(value), shared, found, depth + 1)
    elif _is_stateful(value):
        _describe(path, dict(value.state_dict()), shared, found, depth + 1)
    elif not callable(value) and _is_of_a_plugin(type(value).__module__):
        for name, each in getattr(value, "__dict__", {}).items():
            _describe(f"{path}.{name}", each, shared, found, depth + 1)


def _is_of_a_plugin(module: str) -> bool:
    return module.partition(".")[0] not in _NOT_LOOKED_INTO and not module.startswith(_OUR_OWN)
