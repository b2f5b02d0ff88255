"""What a task or a model holds beside parameters and buffers: found, kept in the checkpoint, put back exactly.

Which values can be kept, and how, is said in ``encoding``; an attribute that is as it was made is not kept at all.
"""

from __future__ import annotations

import inspect
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
from acc.training.checkpoints.comparing import describe, fingerprint
from acc.training.checkpoints.encoding import (
    SEQUENCES,
    Encoded,
    NotKept,
    decode,
    encode,
    is_stateful,
    kind_of,
    misfit,
)

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class _Attribute:
    path: str
    name: str
    value: Any
    holder: Any


class ExtraState:
    """The attributes of one task or module, and of the modules in it, compared with how they were made.

    shared: what belongs to others (to a task: the model, its parts and parameters, the dataset and its arrays), not
    looked into. left_out: paths of what the last ``state`` found changed and could not keep.
    """

    def __init__(self, owner: object, shared: Iterable[object] = ()) -> None:
        self.owner = owner
        self._shared = {id(one): one for one in shared}  # kept, so that no other object gets its number
        self._made = {
            each.path: (fingerprint(each.value, self._shared), self._copied(each.value))
            for each in self._attributes()
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
                    or (callable(value) and not is_stateful(value))
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
                found[each.path] = encode(each.value, f"{prefix}.{each.path}", own)
            except NotKept:
                self.left_out.append(each.path)
                continue
            tensors |= own
        return found

    def lacks(self, state: Mapping[str, Encoded]) -> bool:
        """Return whether ``state`` is of a module or optimizer that is not there (yet)."""
        here = {each.path for each in self._own() if is_stateful(each.value)}
        return any(kind_of(each) == "stateful" and path not in here for path, each in state.items())

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
            reason = misfit(here[path].value if path in here else None, encoded, tensors)
            if reason:
                raise CheckpointError(f"its '{path}' {reason}")
        for path, encoded in state.items():
            old = here[path].value if path in here else None
            value = decode(encoded, old, tensors, device)
            if value is not old:
                setattr(holders[path], path.rpartition(".")[2], value)
        for path, each in here.items():
            if path in state or is_stateful(each.value) or self._is_as_made(each):
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
        if type(value) in SEQUENCES.values():
            items = [self._copied(each) for each in value]
            return deque(items, value.maxlen) if isinstance(value, deque) else type(value)(items)
        if type(value) is dict:
            return {name: self._copied(each) for name, each in value.items()}
        return value.copy() if type(value) is np.ndarray else value

    def _is_as_made(self, each: _Attribute) -> bool:
        made = self._made.get(each.path)
        return (
            made is not None
            and not is_stateful(each.value)
            and made[0] == fingerprint(each.value, self._shared)
        )

    def described(self) -> dict[str, Any]:
        """Return path -> content of everything that can be seen, also of what no checkpoint keeps."""
        found: dict[str, Any] = {}
        for each in self._own():
            describe(each.path, each.value, self._shared, found, 0)
        return found


def shared_with(model: nn.Module, *others: object) -> list[object]:
    """Return what tasks may refer to and does not belong to them."""
    return [*model.modules(), *model.parameters(), *model.buffers(), *others]
