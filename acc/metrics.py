"""Metrics of a whole checkpoint, as plugins: what one is given, and what it returns. Torch-free to import."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from acc.errors import InvalidInput
from acc.methods import Paper
from acc.params import clean_params, params_of
from acc.specs import TargetSpec

if TYPE_CHECKING:
    from acc.evaluation.metrics.values import Value
    from acc.models import Model

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Representation:
    """What a checkpoint makes of N rows of a dataset: all that a metric may look at.

    latents: posterior means (N, D), float64, pooled over places, finite. factors: target column -> its values (N,):
    class numbers of ``class`` columns, float64 of ``real`` ones; columns: what each of them is. groups: factor group
    of the model -> (start, end) of its dimensions. rows: the number of each row in the dataset (N,); units: of which
    unit each is (N,), None where each stands for itself. rng: draws the same for the same seed of an evaluation, as
    the global generators of Python, numpy and torch do meanwhile. seconds: how long the metric may take.

    Arrays cannot be written to.
    """

    latents: NDArray[np.float64]
    factors: Mapping[str, Array]
    columns: Mapping[str, TargetSpec]
    groups: Mapping[str, tuple[int, int]]
    rows: NDArray[np.int64]
    units: Array | None
    dataset: str
    rng: np.random.Generator
    seconds: float
    _images: Callable[[Array], NDArray[np.uint8]]
    _posterior: Callable[[Array], Array]
    _encode: Callable[[Array], Array]
    _decode: Callable[[Array], Array]
    _model: Callable[[], Model]
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float:
        """How much of its time the metric still has; below 0 it is about to be stopped."""
        return self.seconds - (time.monotonic() - self._began)

    def images(self, at: Array) -> NDArray[np.uint8]:
        """Return images of the rows at places ``at`` (0 to N - 1), uint8 (K, C, H, W)."""
        return self._images(self.rows[np.asarray(at)])

    def posterior(self, at: Array) -> NDArray[np.float32]:
        """Return posterior means as the decoder reads them, (K, D), or (K, D, h, w) of a latent with places."""
        return self._posterior(self.rows[np.asarray(at)])

    def encode(self, images: Array) -> NDArray[np.float64]:
        """Return the latents (K, D) of images (K, C, H, W), uint8, or float in 0..1; by batches, without gradients."""
        return self._encode(np.asarray(images))

    def decode(self, z: Array) -> NDArray[np.float32]:
        """Return images (K, C, H, W) in 0..1 for latents as ``posterior`` gives them; by batches, without gradients."""
        return self._decode(np.asarray(z))

    @cached_property
    def model(self) -> Model:
        """A copy of the model in eval mode, with gradients where they are asked for; nothing else reads it."""
        return self._model()


class Metric:
    """A metric of a whole checkpoint. Subclass it, name its numbers in ``metrics``, write ``measure``.

    metrics: name -> whether higher is better; None: neither is. ranges: name -> least and greatest value that there
    can be, of those that have such. seconds: how long ``measure`` may take.
    """

    label: ClassVar[str] = ""
    paper: ClassVar[Paper | None] = None
    metrics: ClassVar[Mapping[str, bool | None]] = {}
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    seconds: ClassVar[float] = 60.0

    def __init__(self, **params: Any) -> None:
        for name, value in clean_params(params_of(type(self)), params).items():
            setattr(self, name, value)

    def measure(self, found: Representation) -> Mapping[str, float | str | Value]:
        """Return a number for each name in ``metrics``, or a sentence that says why there is none.

        A ``Value`` in place of a number also says its 95 % interval and what chance gives.
        """
        raise NotImplementedError(f"{type(self).__name__} must define measure(found)")


def require_known(metric: str, known: Mapping[str, Any]) -> None:
    """Raise InvalidInput (suite) unless ``metric`` is the name of one that is known."""
    if metric not in known:
        there = ", ".join(sorted(known)) or "none"
        raise InvalidInput(
            {"suite": f"{metric!r} is not a known metric of a whole checkpoint; known: {there}"}
        )
