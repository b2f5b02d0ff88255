"""A model described: its layers in the order in which they run, their shapes, parameters and edges.

Found by a pass: of a small model by one with zeros, which takes 30 ms; of any other on the meta device, which takes no
memory but a second, for what PyTorch imports for it. A model that does not allow that is passed zeros too. Equal blocks
one behind the other are told once, and of a giant model its blocks instead of their layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from acc.description import (
    IMAGE,
    LATENT,
    OUTPUT,
    Block,
    Edge,
    Layer,
    ModelDescription,
    Part,
    Pass,
    Way,
)
from acc.errors import InvalidInput
from acc.models.base import Model
from acc.models.build import architecture_of, is_lazy
from acc.models.check import IMAGES, check_passes
from acc.models.output import Decoded, posterior_of
from acc.models.trace import Step, Trace
from acc.rng import seeded
from acc.specs import ModelSpec
from acc.text import text_of

MOST_LAYERS = 80  # shown of the encoder, and of the decoder
LEAST_REPEATS = 3  # equal blocks that are told once
LONGEST_PERIOD = 8  # layers after which the same come again
QUICK_PARAMETERS, QUICK_PIXELS = 4_000_000, 3 * 128 * 128  # up to which a pass with zeros is the quicker one
MOST_REAL = 250_000_000  # parameters for which memory is taken where the meta device does not do


_FACTORIES = frozenset({torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full})


class _NotOnMeta(Exception):
    """A pass on the meta device did not go as it must; one with numbers says what is wrong, if anything is."""


class _TooLarge(BaseException):
    """The model asks for more numbers than it may; no error of its own, and nothing that it could catch."""


class _Limited(TorchFunctionMode):
    """Breaks off what asks for more than ``numbers`` numbers in all, before it gets them."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self._left = numbers

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func in _FACTORIES:
            sides = given.get("size", args[0] if args and isinstance(args[0], tuple | list) else args)
            self._left -= prod(side for side in sides if isinstance(side, int))
            if self._left < 0:
                raise _TooLarge
        return func(*args, **given)


def describe(
    spec: ModelSpec, architectures: Mapping[str, type[Model]] | None = None, *, most_layers: int = MOST_LAYERS
) -> ModelDescription:
    """Return what the model of ``spec`` is made of.

    ``architectures`` adds to the built-in ones, as in ``build``. Raises InvalidInput (architecture, params.*) as
    ``build`` does for a model that cannot be made or does not give what its specification says.
    """
    cls = architecture_of(spec, architectures)
    with seeded(spec.seed), torch.no_grad(), _plain_attention():
        if spec.image.channels * spec.image.height * spec.image.width <= QUICK_PIXELS:
            with suppress(_TooLarge):
                return _with_zeros(cls, spec, QUICK_PARAMETERS).made("zeros", most_layers)
        try:
            return _on_meta(cls, spec).made("meta", most_layers)
        except _NotOnMeta as error:
            why = type(error.__cause__ or error).__name__
        try:
            return _with_zeros(cls, spec, MOST_REAL).made("zeros", most_layers)
        except _TooLarge:
            raise InvalidInput(
                {
                    "architecture": f"{cls.__name__} can only be drawn by a pass with numbers ({why} without), and "
                    f"has more than the {MOST_REAL:,} parameters up to which that is done"
                }
            ) from None


@dataclass(frozen=True)
class _Ends:
    """The shape of the latent, and the steps that gave mean, log-variance and image."""

    latent: tuple[int, ...]
    codes: tuple[str, ...]
    image: str


def _on_meta(cls: type[Model], spec: ModelSpec) -> _Description:
    try:
        with torch.device("meta"):
            model = cls(spec)
            if not isinstance(model, Model) or is_lazy(model):
                raise _NotOnMeta
            return _passed(model.eval(), torch.device("meta"))
    except Exception as error:  # whatever a plugin raises where there are no numbers
        raise _NotOnMeta from error


def _with_zeros(cls: type[Model], spec: ModelSpec, most: int) -> _Description:
    try:
        with _Limited(most):
            model = check_passes(cls, spec).eval()
        return _passed(model, torch.device("cpu"))
    except InvalidInput:
        raise
    except Exception as error:
        what = f"{cls.__name__} fails for images that are black: {type(error).__name__}: {text_of(error)}"
        raise InvalidInput({"architecture": what}) from error


def _passed(model: Model, device: torch.device) -> _Description:
    """Return the description of a model, of one pass of black images through it."""
    spec, image = model.spec, model.spec.image
    x_BCHW = torch.zeros(IMAGES, image.channels, image.height, image.width, device=device)
    trace = Trace(model, spec.latent_dim)
    with trace.watching(model):
        trace.begin("encoder", x_BCHW, IMAGE)
        given = posterior_of(model.posterior(x_BCHW))
    mean, logvar = given.mean, given.logvar
    wanted = (IMAGES, spec.latent_dim)
    if tuple(mean.shape[:2]) != wanted or mean.dim() not in {2, 4} or (logvar is None) == model.has_posterior:
        raise _NotOnMeta
    codes = [mean] if logvar is None else [mean, logvar]
    z = torch.zeros_like(mean)
    with trace.watching(model):
        trace.begin("decoder", z, LATENT, (0, spec.latent_dim))
        decoded: Any = model.decode_logits(z)
    if not isinstance(decoded, Decoded) or decoded.logits.shape != x_BCHW.shape:
        raise _NotOnMeta
    latent = tuple(int(side) for side in mean.shape[1:])
    written = tuple(trace.source_of(code) for code in codes)
    return _Description(model, trace, _Ends(latent, written, trace.source_of(decoded.logits)))


def _size(model: Model) -> int:
    return sum(weight.numel() for weight in model.parameters())


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Within, PyTorch's transformers run layer by layer, not as one kernel."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@dataclass
class _Node:
    """A layer, or a block with what runs in it."""

    step: Step | None = None
    block: str = ""
    name: str = ""
    kind: str = ""
    children: list[_Node] = field(default_factory=list)
    repeats: int = 1

    def leaves(self) -> Iterator[_Node]:
        if self.step is not None:
            yield self
        for child in self.children:
            yield from child.leaves()

    def signature(self) -> tuple[Any, ...]:
        if self.step is not None:
            step = self.step
            return (step.kind, _detail(step.module), step.shape, step.parameters, self.repeats)
        return (self.kind, self.repeats, tuple(child.signature() for child in self.children))

    def depth(self) -> int:
        return 1 + max((child.depth() for child in self.children if child.step is None), default=0)


class _Description:
    """From a trace to a description: as a tree, folded, bounded, and flat again with its edges."""

    def __init__(self, model: Model, trace: Trace, ends: _Ends) -> None:
        self.spec, self.model, self.trace = model.spec, model, trace
        self.shown: dict[str, str] = {}  # step -> the one that is shown for it
        self.layers: list[Layer] = []
        self.blocks: list[Block] = []
        self.left_out = 0
        self.ends = ends
        self.writes: dict[str, tuple[int, int]] = {}
        self.codes = list(dict.fromkeys(self._codes(ends)))

    def _codes(self, ends: _Ends) -> Iterator[str]:
        """Yield the steps that write the latent; a join that only puts their dimensions together is not told."""
        for code in filter(None, ends.codes):
            step = next((each for each in self.trace.steps if each.id == code), None)
            others = [each for each in self.trace.steps if code in each.sources]
            if step is not None and step.kind == "join" and not step.name and step.parts and not others:
                self.trace.steps.remove(step)
                self.writes.update(step.parts)
                yield from step.sources
            else:
                yield code

    def made(self, found_by: Pass, most_layers: int) -> ModelDescription:
        image, steps = self.spec.image, self.trace.steps
        whole = (image.channels, image.height, image.width)
        by_part = Counter({"encoder": 0, "decoder": 0})
        for step in steps:
            by_part[step.part] += step.parameters
        self.layers.append(Layer(id=IMAGE, name="", kind="image", part="image", shape=whole))
        self._part("encoder", most_layers)
        latent = self.ends.latent
        self.layers.append(Layer(id=LATENT, name="", kind="latent", part="latent", shape=latent))
        self._part("decoder", most_layers)
        self.layers.append(Layer(id=OUTPUT, name="", kind="image", part="output", shape=whole))
        for name, weight in self._unreached().items():
            by_part["unreached"] += weight
            self.layers.append(
                Layer(
                    id=f"unreached.{name}",
                    name=name,
                    kind=self.trace.kinds.get(name, "Parameter"),
                    part="unreached",
                    shape=(),
                    parameters=weight,
                )
            )
        return ModelDescription(
            architecture=self.spec.architecture,
            image=image,
            latent_dim=self.spec.latent_dim,
            latent_shape=latent,
            has_posterior=bool(self.model.has_posterior),
            factor_groups=self.spec.factor_groups,
            layers=tuple(self.layers),
            blocks=tuple(self.blocks),
            edges=tuple(self._edges(steps)),
            parameters=_size(self.model),
            by_part=dict(by_part),
            found_by=found_by,
            left_out=self.left_out,
        )

    def _part(self, part: Part, most: int) -> None:
        root = _Node()
        for step in self.trace.steps:
            if step.part == part:
                self._put(root, step)
        self._fold(root)
        _only_blocks_of_several(root)
        while sum(1 for _ in root.leaves()) > most and root.depth() > 1:
            self._close(root, root.depth() - 1)
        self._flatten(root, part, "", 1, most)

    def _put(self, root: _Node, step: Step) -> None:
        node = root
        for place in step.blocks:
            last = node.children[-1] if node.children else None
            if last is None or last.step is not None or last.block != place:
                name = place.partition("@")[0]
                last = _Node(block=place, name=name, kind=self.trace.kinds.get(name, ""))
                node.children.append(last)
            node = last
        node.children.append(_Node(step=step))

    def _fold(self, node: _Node) -> None:
        """Tell equal runs of children once, the innermost first."""
        for child in node.children:
            self._fold(child)
        kept: list[_Node] = []
        signatures = [child.signature() for child in node.children]
        at = 0
        while at < len(signatures):
            period, count = _run_at(signatures, at)
            count = self._chained(node.children[at : at + period * count], period)
            period = period if count > 1 else 1
            first = node.children[at : at + period]
            for again in range(1, count):
                self._same(node.children[at + again * period : at + (again + 1) * period], first)
            if count > 1 and period == 1:
                first[0].repeats *= count
            elif count > 1:
                step = next(first[0].leaves()).step
                assert step is not None
                first = [_Node(block=f"{step.id}...", children=first, repeats=count)]
            kept += first
            at += period * count
        node.children = kept

    def _chained(self, nodes: list[_Node], period: int) -> int:
        """Return how many of equal runs lie one behind the other, each reading from the one before."""
        runs = [nodes[at : at + period] for at in range(0, len(nodes), period)]
        before: set[str] = set()
        count = 0
        for run in runs:
            steps = [leaf.step for node in run for leaf in node.leaves() if leaf.step is not None]
            if count and not any(
                self._layer_of(source) in before for step in steps for source in step.sources
            ):
                break
            before = {step.id for step in steps}
            count += 1
        return count if count >= LEAST_REPEATS else 1

    def _same(self, again: list[_Node], first: list[_Node]) -> None:
        for one, other in zip(again, first, strict=True):
            for copy, kept in zip(one.leaves(), other.leaves(), strict=True):
                assert copy.step is not None
                assert kept.step is not None
                self.shown[copy.step.id] = kept.step.id

    def _layer_of(self, step: str) -> str:
        """Return the layer that a step is shown as; a block that is shown as one may have been folded before."""
        while (shown := self.shown.get(step, step)) != step:
            step = shown
        return step

    def _close(self, node: _Node, depth: int) -> None:
        """Show each block at a depth below ``node`` as one layer."""
        for number, child in enumerate(node.children):
            if child.step is not None:
                continue
            if depth > 1:
                self._close(child, depth - 1)
                continue
            node.children[number] = self._closed(child)

    def _closed(self, block: _Node) -> _Node:
        leaves = [each.step for each in block.leaves() if each.step is not None]
        whole = sum(each.parameters for each in _each(block))
        last = leaves[-1]
        step = Step(
            id=block.block,
            name=block.name or last.name,
            kind=block.kind or last.kind,
            part=last.part,
            module=None,
            blocks=(),
            shape=last.shape,
            parameters=whole,
        )
        step.holds = sum(each.holds for each in _each(block))
        for each in leaves:
            self.shown[each.id] = step.id
        return _Node(step=step, repeats=block.repeats)

    def _flatten(self, node: _Node, part: Part, block: str, repeats: int, most: int) -> None:
        for child in node.children:
            times = repeats * child.repeats
            if child.step is None:
                self.blocks.append(
                    Block(
                        id=child.block, name=child.name, kind=child.kind, parent=block, repeats=child.repeats
                    )
                )
                self._flatten(child, part, child.block, times, most)
                continue
            step = child.step
            mine = [layer for layer in self.layers if layer.part == part]
            if len(mine) >= most:
                self.left_out += step.holds * times
                self.shown[step.id] = mine[-1].id
                continue
            start, end = self._span(step)
            self.layers.append(
                Layer(
                    id=step.id,
                    name=step.name,
                    kind=step.kind,
                    detail=_detail(step.module),
                    part=part,
                    shape=step.shape,
                    parameters=step.parameters,
                    repeats=times,
                    block=block,
                    start=start,
                    end=end,
                    layers=step.holds,
                )
            )

    def _span(self, step: Step) -> tuple[int | None, int | None]:
        """Return the dimensions of the latent that a step alone writes or reads; all of them tell nothing."""
        span = self.writes.get(step.id) or step.sources.get(LATENT)
        if span is None or span == (0, self.spec.latent_dim):
            return None, None
        return span

    def _edges(self, steps: list[Step]) -> Iterator[Edge]:
        order = {layer.id: number for number, layer in enumerate(self.layers)}
        pairs: dict[tuple[str, str], None] = {}
        given = [(source, step.id) for step in steps for source in step.sources]
        given += [(code, LATENT) for code in self.codes]
        given += [(self.ends.image, OUTPUT)] if self.ends.image else []
        for source, target in given:
            pair = (self._layer_of(source), self._layer_of(target))
            if pair[0] in order and pair[1] in order and order[pair[0]] < order[pair[1]]:
                pairs[pair] = None
        after: dict[str, list[str]] = {}
        for source, target in pairs:
            after.setdefault(source, []).append(target)
        into = Counter(target for _, target in pairs)
        for source, target in pairs:
            way: Way = "branch" if len(after[source]) > 1 else "sequence"
            if into[target] > 1 and len(after[source]) > 1 and _reaches(after, source, target):
                way = "skip"
            yield Edge(source=source, target=target, way=way)

    def _unreached(self) -> dict[str, int]:
        """Return the modules whose parameters no pass used, with their number."""
        found: Counter[str] = Counter()
        for name, weight in self.trace.uncounted:
            owner = name.rpartition(".")[0]
            found[owner or name] += weight.numel()
        return dict(found)


def _each(block: _Node) -> Iterator[Step]:
    """Yield the steps of a block as often as they run in it."""
    for child in block.children:
        for _ in range(child.repeats):
            if child.step is not None:
                yield child.step
            else:
                yield from _each(child)


def _only_blocks_of_several(node: _Node) -> None:
    """Put the only child of a block in its place."""
    for number, child in enumerate(node.children):
        if child.step is not None:
            continue
        _only_blocks_of_several(child)
        if len(child.children) == 1:
            only = child.children[0]
            only.repeats *= child.repeats
            node.children[number] = only


def _run_at(signatures: list[tuple[Any, ...]], at: int) -> tuple[int, int]:
    """Return the period and the number of equal runs that begin here; (1, 1) for none worth telling."""
    for period in range(1, LONGEST_PERIOD + 1):
        first = signatures[at : at + period]
        count = 1
        while signatures[at + count * period : at + (count + 1) * period] == first:
            count += 1
        if count >= LEAST_REPEATS:
            return period, count
    return 1, 1


def _reaches(after: Mapping[str, list[str]], source: str, target: str) -> bool:
    """Return whether there is a way from source to target over a third."""
    waiting = [each for each in after[source] if each != target]
    seen = set(waiting)
    while waiting:
        for each in after.get(waiting.pop(), ()):
            if each == target:
                return True
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return False


def _detail(module: nn.Module | None) -> str:
    """Return what tells a layer from others of its kind, in a few words."""
    if module is None:
        return ""
    told = []
    if isinstance(module, nn.Linear):
        told.append(f"{module.in_features} to {module.out_features}")
    kernel, stride = _sides(module, "kernel_size"), _sides(module, "stride")
    if kernel:
        told.append(kernel)
    if stride and stride != "1":
        told.append(f"stride {stride}")
    for name, words in (("groups", "groups"), ("num_heads", "heads")):
        count = getattr(module, name, None)
        if isinstance(count, int) and not isinstance(count, bool) and count > 1:
            told.append(f"{count} {words}")
    scale = _sides(module, "scale_factor")
    if scale:
        told.append(f"by {scale}")
    return ", ".join(told)


def _sides(module: nn.Module, name: str) -> str:
    """Return ``3 x 3`` for a side of each axis; one number where all axes have 1, '' for what is no such."""
    value = getattr(module, name, None)
    sides = value if isinstance(value, tuple) else (value,)
    if not sides or not all(isinstance(side, int | float) and not isinstance(side, bool) for side in sides):
        return ""
    if name != "kernel_size" and len(set(sides)) == 1:
        return f"{sides[0]:g}"
    return " x ".join(f"{side:g}" for side in sides)
