"""Runs metrics that are plugins on what a checkpoint makes of a dataset; a wrong one costs its own numbers alone."""

from __future__ import annotations

import copy
import math
import numbers
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acc import rng
from acc.evaluation.encoding import BATCH_SIZE, Encoded, sample_of
from acc.evaluation.factoring import chosen_columns
from acc.evaluation.metrics.values import Value
from acc.metrics import Metric, Representation
from acc.places import describe
from acc.results import MetricValue, recorded_name
from acc.text import text_of

AGAIN_SECONDS = 1.0  # between two attempts to stop a metric that goes on


class _OutOfTime(BaseException):
    """A metric has used up its time; not an Exception, so that it does not swallow it by chance."""


def measure(
    cls: type[Metric],
    params: Mapping[str, Any],
    encoded: Encoded,
    *,
    concepts: Sequence[str] = (),
    seed: int = 0,
    version: str = "",
) -> list[MetricValue]:
    """Return the numbers of a metric under their recorded names, or for each why there is none.

    concepts: target columns that it is given (empty: all); version: of its source. Only the main thread of a process
    can stop one that takes too long. Raises InvalidInput for wrong parameters and concepts.
    """
    metric = cls(**params)
    has_targets = bool(encoded.dataset.target_specs)
    columns = chosen_columns(encoded, concepts) if has_targets or concepts else []
    names = [column.name for column in columns]
    asked = ["metric", cls.__name__, version, dict(params), names, seed]
    sample = sample_of(encoded.dataset, encoded.rows, *asked)
    drawn = rng.seed_for(seed, "metric", cls.__name__)
    found: dict[str, float | str | Value]
    if encoded.not_finite:
        found = dict.fromkeys(cls.metrics, encoded.not_finite)
    else:
        found = _measured(metric, _representation(cls, encoded, names, drawn), drawn)
    return [_value(cls, name, found[name], sample) for name in cls.metrics]


def _measured(metric: Metric, given: Representation, seed: int) -> dict[str, float | str | Value]:
    """Return what a metric says of each of its numbers; what is wrong with it is said of all of them."""
    names, who = type(metric).metrics, type(metric).__name__
    try:
        with rng.seeded(seed), torch.inference_mode(False), torch.enable_grad(), _at_most(given.seconds):
            told: Any = metric.measure(given)
    except _OutOfTime:
        return dict.fromkeys(names, f"{who} took longer than its {given.seconds:g} s and was stopped")
    except (Exception, SystemExit) as error:
        return dict.fromkeys(names, f"{who} failed, {describe(error)}")
    if not isinstance(told, Mapping):
        return dict.fromkeys(names, f"{who} returned {_short(told)}; it must return a number for each name")
    other = sorted(str(name) for name in told if name not in names)
    if other:
        return dict.fromkeys(
            names, f"{who} returned {other[0]!r}, which is none of its metrics: {', '.join(names)}"
        )
    return {name: told.get(name, f"{who} returned nothing of this name") for name in names}


def _value(cls: type[Metric], name: str, told: Any, sample: str) -> MetricValue:
    """Return one number of a metric, or the reason why what it returned is none."""
    full = told if isinstance(told, Value) else Value(math.nan)
    value, reason = _number(full.value if isinstance(told, Value) else told)
    reason = full.reason or reason
    low, high, chance = (_end(each) for each in (full.low, full.high, full.chance))
    least, most = cls.ranges.get(name, (-math.inf, math.inf))
    if value is not None and not least <= value <= most:
        value, reason = None, f"came out as {value:g}, and its range is {least:g} to {most:g}"
    if value is not None and low is not None and high is not None and low > high:
        low = high = None
        reason = reason or f"its interval came out from {full.low:g} to {full.high:g}"
    return MetricValue(
        task_key="",
        name=recorded_name(cls.__name__, name),
        value=value,
        higher_is_better=cls.metrics[name],
        reason=reason if value is None else "",
        low=low if value is not None else None,
        high=high if value is not None else None,
        without=tuple(full.without) if value is not None else (),
        sample=sample,
        chance=chance,
    )


def _number(told: Any) -> tuple[float | None, str]:
    """Return a finite number, or why it is none."""
    if isinstance(told, str):
        return None, told.strip() or "it says nothing of why there is no number"
    if isinstance(told, Tensor | np.ndarray | np.generic) and np.ndim(told) == 0:
        told = told.item()
    if isinstance(told, bool) or not isinstance(told, numbers.Real):
        return None, f"came out as {_short(told)}, which is no number"
    if not math.isfinite(told):
        return None, f"came out as {float(told)}, which is no finite number"
    return float(told), ""


def _end(told: Any) -> float | None:
    return None if told is None else _number(told)[0]


def _short(told: object) -> str:
    try:
        return f"{told!r:.80}"
    except Exception as error:
        return f"{type(told).__name__} ({text_of(error)})"


def _representation(cls: type[Metric], encoded: Encoded, names: Sequence[str], seed: int) -> Representation:
    model, stored = encoded.model, encoded.stored
    columns = {column.name: column for column in encoded.dataset.target_specs if column.name in names}
    factors = {
        name: _kept(
            np.asarray(encoded.dataset.targets[name])[encoded.rows],
            np.float64 if column.kind == "real" else None,
        )
        for name, column in columns.items()
    }

    def by_batches(given: Any, through: Any) -> Any:
        with torch.no_grad():
            parts = [through(part) for part in torch.as_tensor(given).split(BATCH_SIZE)]
        return torch.cat(parts).cpu().numpy()

    def encode(images: Any) -> Any:
        scaled = images.dtype == np.uint8

        def latents(part: Tensor) -> Tensor:
            part = part.to(stored.device)
            return model.encode(part.float() / 255 if scaled else part.float()).posterior_mean.double()

        return by_batches(np.array(images), latents)

    def decode(z: Any) -> Any:
        return by_batches(np.array(z, np.float32), lambda part: model.decode(part.to(stored.device)).float())

    def posterior(rows: Any) -> Any:
        return by_batches(np.array(rows, np.int64), lambda part: encoded.posterior(part.numpy()).float())

    return Representation(
        latents=_kept(encoded.z),
        factors=factors,
        columns=columns,
        groups={group.name: (group.start, group.end) for group in model.factor_groups},
        rows=_kept(encoded.rows),
        units=None if encoded.units is None else _kept(encoded.units),
        dataset=encoded.dataset_key,
        rng=np.random.default_rng(seed),
        seconds=cls.seconds,
        _images=encoded.images,
        _posterior=posterior,
        _encode=encode,
        _decode=decode,
        _model=lambda: copy.deepcopy(model).eval(),
    )


def _kept(array: Any, dtype: Any = None) -> Any:
    """Return a copy of an array that cannot be written to."""
    copied = np.array(array, dtype=dtype)
    copied.setflags(write=False)
    return copied


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Within, raise _OutOfTime after ``seconds``, again and again; on the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    within = True

    def late(_number: int, _frame: FrameType | None) -> None:
        if within:
            raise _OutOfTime

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        try:
            yield
        finally:
            within = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
