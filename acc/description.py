"""What a model is made of, as plain data: layers in the order in which they run, blocks, edges. Torch-free.

``acc.models.describe`` finds it by a pass; pages draw it, and whoever asks the API reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Literal

from pydantic import BaseModel, ConfigDict

from acc.specs import FactorGroup, ImageShape

Part = Literal["image", "encoder", "latent", "decoder", "output", "head", "unreached"]
Way = Literal["sequence", "branch", "skip"]
Pass = Literal["meta", "zeros"]

IMAGE, LATENT, OUTPUT = "image", "latent", "output"
"""The ids of the three layers that every model has."""


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Layer(_Plain):
    """One step of a pass.

    name: the module or parameter, as PyTorch names it; empty where branches only meet. kind: class of the module, or
    the operation. detail: what tells it from others of its kind, such as ``5 x 5, stride 2``. shape: of what it gives,
    the batch left out. parameters: its own, each counted once in the whole model; those of all ``repeats``, which
    stand for equal layers one behind the other, are ``repeats`` times as many. start, end: the dimensions of the
    latent that it alone writes or reads, where that is known. layers: how many it stands for, of a block shown as one.
    """

    id: str
    name: str
    kind: str
    detail: str = ""
    part: Part
    shape: tuple[int, ...]
    parameters: int = 0
    repeats: int = 1
    block: str = ""
    start: int | None = None
    end: int | None = None
    layers: int = 1

    @property
    def is_join(self) -> bool:
        """Whether it is a place where branches meet, and no module."""
        return not self.name and self.part in ("encoder", "decoder")


class Block(_Plain):
    """A module that holds layers: its id, the block around it (empty: none), and how many equal ones follow it."""

    id: str
    name: str
    kind: str
    parent: str = ""
    repeats: int = 1


class Edge(_Plain):
    """From layer to layer. ``skip``: there is a longer way too; ``branch``: one of several from the same layer."""

    source: str
    target: str
    way: Way = "sequence"


class ModelDescription(_Plain):
    """A model as it is drawn and told.

    parameters: of the whole model; by_part: encoder, decoder and, where there are any, head and unreached. found_by:
    ``meta`` for a pass without memory and numbers, ``zeros`` for one with. left_out: layers beyond those shown.
    """

    architecture: str
    image: ImageShape
    latent_dim: int
    latent_shape: tuple[int, ...]
    has_posterior: bool
    factor_groups: tuple[FactorGroup, ...] = ()
    layers: tuple[Layer, ...]
    blocks: tuple[Block, ...] = ()
    edges: tuple[Edge, ...] = ()
    parameters: int
    by_part: dict[str, int]
    found_by: Pass = "meta"
    left_out: int = 0

    def layer(self, id: str) -> Layer | None:
        """Return the layer with this id, or None."""
        return next((layer for layer in self.layers if layer.id == id), None)

    @property
    def ordered_groups(self) -> tuple[FactorGroup, ...]:
        """Factor groups by position, as ``ModelSpec`` has them."""
        return tuple(sorted(self.factor_groups, key=lambda group: group.start))

    def group_of(self, layer: Layer) -> int | None:
        """Return the place among the ``ordered_groups`` of the one that a layer alone writes or reads, or None."""
        for number, group in enumerate(self.ordered_groups):
            if (group.start, group.end) == (layer.start, layer.end):
                return number
        return None


class Head(_Plain):
    """The probe head of a task, as its checkpoint keeps it: shapes of its tensors, and the dimensions it reads."""

    task: str
    name: str
    kind: str
    start: int
    end: int
    tensors: dict[str, tuple[int, ...]]


def with_heads(found: ModelDescription, heads: Iterable[Head]) -> ModelDescription:
    """Return a description with the heads that a checkpoint keeps of its tasks, each reading the latent."""
    layers = [
        Layer(
            id=f"head.{head.task}",
            name=f"head.{head.task}",
            kind=head.kind,
            detail=head.name,
            part="head",
            shape=_answer(head.tensors),
            parameters=sum(prod(shape) for shape in head.tensors.values()),
            start=head.start,
            end=head.end,
        )
        for head in heads
    ]
    if not layers:
        return found
    own = sum(layer.parameters for layer in layers)
    return found.model_copy(
        update={
            "layers": (*found.layers, *layers),
            "edges": (
                *found.edges,
                *(Edge(source=LATENT, target=layer.id, way="branch") for layer in layers),
            ),
            "by_part": {**found.by_part, "head": own},
        }
    )


def _answer(tensors: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    """Return the shape of what a head answers: as long as its last matrix has rows."""
    matrices = [shape for shape in tensors.values() if len(shape) > 1]
    return tuple(matrices[-1][:1]) if matrices else ()
