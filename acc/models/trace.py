"""One pass through a model, watched: which modules and operations ran, what each gave, and from what.

Each tensor is known by the step that gave it. A module in which no other module runs is a step; so is an operation
outside of such modules in which two steps meet (a sum, a join, attention), or which brings in a parameter of its own.
All other operations hand on what they were given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from acc.errors import InvalidInput

MOST_STEPS = 20_000
_OPERATIONS = {
    "add": "sum",
    "sub": "difference",
    "mul": "product",
    "div": "quotient",
    "matmul": "matrix product",
    "bmm": "matrix product",
    "einsum": "matrix product",
    "cat": "join",
    "concat": "join",
    "concatenate": "join",
    "stack": "join",
    "scaled_dot_product_attention": "attention",
    "where": "choice",
}
_UNSEEN = frozenset(
    {"size", "dim", "numel", "__len__", "stride", "is_floating_point", "__set__", "__delete__"}
)


@dataclass
class Step:
    """Something that ran. sources: ids of the steps whose tensors it was given, with the latent range if it is one."""

    id: str
    name: str
    kind: str
    part: str
    module: nn.Module | None
    blocks: tuple[str, ...]
    shape: tuple[int, ...] = ()
    parameters: int = 0
    sources: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of a join along the latent: where each source lies in it."""
    holds: int = 1
    """Layers that it stands for."""


@dataclass(frozen=True)
class _Origin:
    """Of a tensor: the step that gave it, the latent dimensions it is, and parameters that it is made of."""

    step: str = ""
    span: tuple[int, int] | None = None
    weights: frozenset[int] = frozenset()


class Trace(TorchFunctionMode):
    """Watches what runs while it is entered; ``begin`` says which part of the model it is."""

    def __init__(self, model: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.latent_dim = latent_dim
        self._names = {id(module): name for name, module in model.named_modules()}
        self._weights = {id(weight): name for name, weight in model.named_parameters()}
        self._sizes = {id(weight): weight for weight in model.parameters()}
        self._counted: dict[int, None] = {}  # in the order in which they were
        self._origins: dict[int, tuple[Tensor, _Origin]] = {}  # the tensor too, so that its id stays its own
        self._running: list[_Call] = []
        self._ids: dict[str, int] = {}
        self._calls: dict[str, int] = {}
        self._part = ""
        self.kinds: dict[str, str] = {name: type(module).__name__ for name, module in model.named_modules()}

    def begin(self, part: str, tensor: Tensor, step: str, span: tuple[int, int] | None = None) -> None:
        """Name the part that runs from here on, and the step that gave the tensor with which it begins."""
        self._part = part
        self._know(tensor, _Origin(step, span))

    def source_of(self, tensor: Tensor) -> str:
        """Return the step that gave a tensor, or ''."""
        return self._origin(tensor).step

    @property
    def uncounted(self) -> list[tuple[str, Tensor]]:
        """The parameters that no step has used, by name."""
        return [(name, self._sizes[key]) for key, name in self._weights.items() if key not in self._counted]

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Within, the model's modules are watched."""
        hooks: list[RemovableHandle] = []
        compiled = {id(module) for module in model.modules() if isinstance(module, torch.jit.ScriptModule)}
        for module in model.modules():
            if module is not model and id(module) not in compiled:
                hooks.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
                hooks.append(module.register_forward_hook(self._leave, with_kwargs=True))
        if compiled:  # those take no hooks of their own

            def enter(module: nn.Module, args: Any) -> None:
                if id(module) in compiled:
                    self._enter(module, args, {})

            def leave(module: nn.Module, args: Any, made: Any) -> None:
                if id(module) in compiled:
                    self._leave(module, args, {}, made)

            hooks.append(register_module_forward_pre_hook(enter))
            hooks.append(register_module_forward_hook(leave))
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        given = [] if name in _UNSEEN else list(_tensors((args, kwargs or {})))
        origins = [self._origin(tensor) for tensor in given]
        made = func(*args, **(kwargs or {}))
        out = list(_tensors(made))
        if not out or not any(origin.step or origin.weights for origin in origins):
            return made
        steps = dict.fromkeys(origin.step for origin in origins if origin.step)
        weights = frozenset().union(*(origin.weights for origin in origins))
        if steps and (len(steps) > 1 or weights):
            told = self._meet(name, list(zip(origins, given, strict=True)), weights, out[0])
        else:
            told = _Origin(next(iter(steps), ""), self._span(func, args, origins), weights)
        for tensor in out:
            self._know(tensor, told)
        return made

    def _meet(
        self, name: str, given: list[tuple[_Origin, Tensor]], weights: frozenset[int], out: Tensor
    ) -> _Origin:
        """Return the origin of what an operation gave in which steps meet, or which brings in parameters."""
        plain = name.strip("_")
        kind = _OPERATIONS.get(plain) or _OPERATIONS.get(plain[1:]) or plain.replace("_", " ")
        own = sorted(weights, key=self._weights.__getitem__)
        step = self._add(
            ", ".join(self._weights[key] for key in own), kind, None, parameters=self._count(own), shape=out
        )
        for origin, _ in given:
            if origin.step:
                step.sources.setdefault(origin.step, origin.span)
        if kind == "join" and out.dim() > 1 and out.shape[1] == self.latent_dim:
            at = 0
            for origin, tensor in given:
                width = tensor.shape[1] if tensor.dim() > 1 else 0
                if origin.step and width:
                    step.parts[origin.step] = (at, at + width)
                at += width
        return _Origin(step.id)

    def _span(
        self, func: Callable[..., Any], args: tuple[Any, ...], origins: list[_Origin]
    ) -> tuple[int, int] | None:
        """Return the dimensions of the latent that the result is: a slice of its axis 1 narrows them."""
        span = next((origin.span for origin in origins if origin.span), None)
        if span is None or getattr(func, "__name__", "") != "__getitem__" or len(args) != 2:
            return span
        index = args[1]
        if not (isinstance(index, tuple) and len(index) >= 2 and isinstance(index[1], slice)):
            return span
        if args[0].shape[1] != span[1] - span[0]:
            return span
        start, end, _ = index[1].indices(span[1] - span[0])
        return (span[0] + start, span[0] + end) if start < end else span

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        sources = [self._origin(tensor) for tensor in _tensors((args, kwargs))]
        if self._running:
            self._running[-1].calls += 1
        name = self._names.get(id(module), "")
        count = self._calls[name] = self._calls.get(name, 0) + 1
        place = f"{name}@{count}" if count > 1 else name
        self._running.append(_Call(module, place, len(self.steps), sources, len(self._counted)))

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, made: Any) -> None:
        call = self._running.pop()
        if call.calls:
            return
        out = list(_tensors(made))
        if not out:
            return
        del self.steps[call.began :]
        while len(self._counted) > call.counted:
            self._counted.popitem()
        given = {id(tensor) for tensor in _tensors((args, kwargs))}
        given_weights = [key for origin in call.sources for key in sorted(origin.weights)]
        own = list(dict.fromkeys([*(id(weight) for weight in module.parameters()), *given_weights]))
        if not own and all(id(tensor) in given for tensor in out):
            return  # a dropout, a padding of nothing: it hands on
        steps = dict.fromkeys(origin.step for origin in call.sources if origin.step)
        if not own and not steps:
            return
        step = self._add(
            self._names.get(id(module), ""),
            type(module).__name__,
            module,
            parameters=self._count(own),
            shape=out[0],
        )
        for origin in call.sources:
            if origin.step:
                step.sources.setdefault(origin.step, origin.span)
        for tensor in out:
            self._know(tensor, _Origin(step.id))

    def _add(self, name: str, kind: str, module: nn.Module | None, *, parameters: int, shape: Tensor) -> Step:
        if len(self.steps) >= MOST_STEPS:
            raise InvalidInput(
                {"architecture": f"a pass has more than {MOST_STEPS:,} steps; it is not drawn"}
            )
        label = name or kind.replace(" ", "-")
        count = self._ids[label] = self._ids.get(label, 0) + 1
        step = Step(
            id=f"{label}@{count}" if count > 1 or not name else label,
            name=name,
            kind=kind,
            part=self._part,
            module=module,
            blocks=tuple(call.place for call in self._running),
            shape=tuple(int(side) for side in shape.shape[1:]),
            parameters=parameters,
        )
        self.steps.append(step)
        return step

    def _count(self, weights: list[int]) -> int:
        fresh = [key for key in weights if key not in self._counted]
        self._counted.update(dict.fromkeys(fresh))
        return sum(self._sizes[key].numel() for key in fresh if key in self._sizes)

    def _know(self, tensor: Tensor, origin: _Origin) -> None:
        self._origins[id(tensor)] = (tensor, origin)

    def _origin(self, tensor: Tensor) -> _Origin:
        known = self._origins.get(id(tensor))
        if known is not None:
            return known[1]
        return _Origin(weights=frozenset({id(tensor)})) if id(tensor) in self._weights else _Origin()


@dataclass
class _Call:
    """A module that runs: its name, with a number from its second call on, and how things stood when it began.

    began, counted: steps and parameters before it; sources: of what it was given; calls: modules that ran in it.
    """

    module: nn.Module
    place: str
    began: int
    sources: list[_Origin]
    counted: int
    calls: int = 0


def _tensors(value: Any, depth: int = 4) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each, depth - 1)
    elif depth and isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each, depth - 1)
