"""The shape of what a worker measured (``acc.evaluation``, which the site cannot import: it brings torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class MetricValue(Protocol):
    """One measured number."""

    @property
    def task_key(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def higher_is_better(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def baseline(self) -> float | None: ...
    @property
    def thresholds(self) -> tuple[float, float] | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def without(self) -> Sequence[float]: ...
    @property
    def sample(self) -> str: ...


class ReconstructionGrid(Protocol):
    """Fixed images beside what the model makes of them; uint8 ``(N, C, H, W)``."""

    @property
    def dataset_key(self) -> str: ...
    @property
    def indices(self) -> tuple[int, ...]: ...
    @property
    def inputs(self) -> Pixels: ...
    @property
    def outputs(self) -> Pixels: ...
    @property
    def rows(self) -> str: ...


class Factoring(Protocol):
    """The whole suite of factoring on one dataset."""

    @property
    def cells(self) -> Mapping[str, Mapping[str, tuple[int, ...]]]: ...
    def as_dict(self) -> dict[str, Any]: ...


class EvalResult(Protocol):
    """What was measured of a checkpoint at a step."""

    @property
    def step(self) -> int: ...
    @property
    def metrics(self) -> Sequence[MetricValue]: ...
    @property
    def reconstructions(self) -> Sequence[ReconstructionGrid]: ...
    @property
    def dataset_key(self) -> str: ...
    @property
    def traversals(self) -> Sequence[Any]: ...
    @property
    def sorts(self) -> Sequence[Any]: ...
    @property
    def attention(self) -> Any: ...
    @property
    def factoring(self) -> Factoring | None: ...
    @property
    def missing(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, eq=False)
class CellImages:
    """Images ``(K, C, H, W) uint8`` of the rows that cells of the matrix are made of."""

    indices: tuple[int, ...]
    images: Pixels
