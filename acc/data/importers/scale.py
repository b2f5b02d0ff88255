"""What pixel values mean: which is black and which is white. Found, proposed, and asked for where it is not clear."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.importers.limits import refuse
from acc.data.importers.mapping import Pixels, Question
from acc.errors import InvalidInput

MAX_COUNTED = 1_000
LEAST_SHARE = 0.1
"""Of the range of its type: below it a dataset is asked what its values mean, since it would come out near-black."""
NEAR_WHITE = 0.97
"""Of 255: floats above 1 that end lower and are no whole numbers may well be percentages, or of another scale."""
_BITS = (8, 10, 12, 14, 16)
_CHUNK_BYTES = 1 << 24
COUNTED_BYTES = 1 << 26
"""Of so many bytes the different values are counted."""
_SCALE = re.compile(r"^\s*([-+0-9.eE]+?)\s*\.\.\s*([-+0-9.eE]+?)\s*$")


@dataclass(frozen=True)
class Values:
    """The pixel values that there are.

    distinct: how many different ones, None for more than 1,000; whole: whether all are whole numbers.
    """

    dtype: np.dtype[Any]
    least: float
    greatest: float
    distinct: int | None
    whole: bool
    sampled: bool = False

    @property
    def words(self) -> str:
        span = f"{self.dtype}, {_number(self.least)} to {_number(self.greatest)}"
        many = f"more than {MAX_COUNTED:,}" if self.distinct is None else f"{self.distinct:,}"
        if self.sampled and self.distinct is not None:
            many = f"at least {many}"
        return f"{span}, {many} different values"


@dataclass(frozen=True)
class Scale:
    """``low`` is black and ``high`` is white; what lies between is in proportion."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{_number(self.low)}..{_number(self.high)}"


@dataclass(frozen=True)
class Proposal:
    """The scale that values most likely have, others that they may have, and why that must be asked, if it must."""

    scale: Scale
    others: tuple[Scale, ...] = ()
    why: str = ""


def question(values: Values, file: str) -> Question:
    """Return what is asked about values: needed where their scale is not clear."""
    proposal = proposed(values)
    choices = tuple(map(str, (proposal.scale, *proposal.others)))
    return Question(
        field="scale",
        words=f"'{file}' has pixel values from {_number(values.least)} to {_number(values.greatest)}{proposal.why}. "
        f"Say which value is black and which is white: scale={choices[0]} (proposed)"
        + "".join(f", scale={each}" for each in choices[1:])
        + f", or another LOW..HIGH. Found: {values.words}",
        choices=choices,
        proposed=choices[0],
        needed=bool(proposal.why),
    )


class Scaler:
    """Puts blocks of images on their scale, as uint8 0..255 or float32 0..1, and counts the values that it sees.

    dtype: of the source. Raises InvalidInput (scale, pixels); its calls raise InvalidInput (file, scale).
    """

    def __init__(self, text: str, pixels: Pixels, dtype: np.dtype[Any], file: str) -> None:
        self.scale, self.pixels, self.file = parsed(text), pixels, file
        self.dtype = dtype
        self.identity = dtype == np.uint8 and self.scale == Scale(0, 255)
        if pixels == "float32" and (self.identity or dtype == np.bool_):
            raise InvalidInput(
                pixels=f"'{file}' has images of type {dtype}; only floats are stored as float32, these as uint8"
            )
        self._counted = Counted(dtype, file)
        whole = self.scale.low == 0 and 255 % self.scale.high == 0 if self.scale.high >= 1 else False
        self._factor = np.uint8(255 // self.scale.high) if whole and dtype == np.uint8 else None
        self._table = self._levels() if pixels == "uint8" and dtype in (np.uint8, np.uint16) else None

    def __call__(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return a block of images in the form that is stored."""
        least, greatest = self._counted(block)
        if least < self.scale.low or greatest > self.scale.high:
            raise InvalidInput(
                scale=f"'{self.scale}' is refused: '{self.file}' has pixel values from {_number(least)} to "
                f"{_number(greatest)}, which is beyond it; choose {proposed(self._counted.values).scale}, or another "
                "LOW..HIGH"
            )
        if self.identity:
            return block
        if self._factor is not None and self.pixels == "uint8":  # a fiftieth of what the table takes
            whole: NDArray[np.uint8] = block * self._factor
            return whole
        if self._table is not None:
            return np.take(self._table, block)
        if self.pixels == "float32":
            return self._as_float32(block)
        if self.scale == Scale(0, 1) and block.dtype.kind == "f":
            levels: NDArray[Any] = (
                block * 255.0
            )  # as it comes, so that the same file gives the same dataset for ever
        else:
            levels = (block.astype(np.float64) - self.scale.low) * 255.0 / (self.scale.high - self.scale.low)
        rounded: NDArray[np.uint8] = np.rint(levels).astype(np.uint8)
        return rounded

    @property
    def words(self) -> str:
        """What values were seen, in words."""
        return self._counted.values.words

    def _levels(self) -> NDArray[np.uint8]:
        """Return the level of each value that the type of the source may have."""
        every = np.arange(np.iinfo(self.dtype).max + 1, dtype=np.float64)
        levels = (every - self.scale.low) * 255.0 / (self.scale.high - self.scale.low)
        rounded: NDArray[np.uint8] = np.rint(levels.clip(0, 255)).astype(np.uint8)
        return rounded

    def _as_float32(self, block: NDArray[Any]) -> NDArray[np.float32]:
        if self.scale == Scale(0, 1) and block.dtype.kind == "f":
            return block.astype(np.float32)
        unit = (block.astype(np.float64) - self.scale.low) / (self.scale.high - self.scale.low)
        return unit.astype(np.float32)


class Counted:
    """Counts which values blocks of images have; of more than ``COUNTED_BYTES`` no longer how many different ones."""

    def __init__(self, dtype: np.dtype[Any], file: str) -> None:
        self.dtype, self.file = dtype, file
        self._low, self._high, self._whole = math.inf, -math.inf, True
        self._known: NDArray[Any] | None = np.empty(0, dtype)
        self._bytes = 0
        self._all = True

    def __call__(self, part: NDArray[Any]) -> tuple[float, float]:
        """Return the least and the greatest value of a block; raises InvalidInput (file) for what are not finite."""
        least, greatest = float(part.min()), float(part.max())
        if not (math.isfinite(least) and math.isfinite(greatest)):
            raise refuse(
                self.file,
                f"has pixel values from {least:g} to {greatest:g}; need uint8, or floats from 0 to 1",
            )
        self._low, self._high = min(self._low, least), max(self._high, greatest)
        if self._bytes > COUNTED_BYTES:
            self._all = False
        else:
            self._bytes += part.nbytes
            self._whole = self._whole and (part.dtype.kind != "f" or bool((part == np.rint(part)).all()))
            if self._known is not None:
                known = np.union1d(self._known, np.unique(part))
                self._known = known if len(known) <= MAX_COUNTED else None
        return least, greatest

    @property
    def values(self) -> Values:
        count = None if self._known is None else len(self._known)
        return Values(self.dtype, self._low, self._high, count, self._whole, sampled=not self._all)


def values_of(images: NDArray[Any], file: str) -> Values:
    """Return which values there are; raises InvalidInput (file) for what are no finite numbers."""
    counted = Counted(images.dtype, file)
    for part in _parts(images):
        counted(part)
    return counted.values


def proposed(values: Values) -> Proposal:
    """Return the scale that values most likely have.

    Asks where their range is under a tenth of their type's, where fractions above 1 do not come near 255, and where
    numbers of 16 bits fit into fewer.
    """
    low, high = values.least, values.greatest
    floats, kind = values.dtype.kind == "f", str(values.dtype)
    if low < 0:
        return _signed(values)
    natural = Scale(0, 1 if values.dtype == np.bool_ or (floats and high <= 1) else 255)
    if values.dtype == np.uint16:
        natural = Scale(0, 65535)
    if values.dtype == np.bool_ or high == 0:  # black is black on every scale
        return Proposal(natural)
    if high <= natural.high:
        found = _judged(values, natural, kind)
        if found.why or values.whole or high <= 1 or high >= NEAR_WHITE * natural.high:
            return found
        why = "; they are fractions above 1, of which it is not clear what is white"
        return Proposal(Scale(0, high), (natural,), why)
    others = (Scale(0, high), *(Scale(0, 2**bits - 1) for bits in _BITS))
    fitting = [scale for scale in dict.fromkeys(others) if scale.high >= high]
    fitting.sort(key=lambda scale: (scale not in others[1:], scale.high))
    return Proposal(fitting[0], tuple(fitting[1:]), "; need uint8, or the scale of the values")


def _judged(values: Values, natural: Scale, kind: str) -> Proposal:
    """Return the natural scale of a type, or one that the values fill, to be asked for, where they hardly use it."""
    if values.greatest - values.least >= LEAST_SHARE * (natural.high - natural.low):
        return _of_sensor(values, natural) if values.dtype == np.uint16 else Proposal(natural)
    high = values.greatest
    filled = [Scale(0, 2**bits - 1) for bits in _BITS if high <= 2**bits - 1 < natural.high]
    if filled and high >= LEAST_SHARE * filled[0].high:
        first, others = filled[0], [Scale(0, high), *filled[1:], natural]
    else:
        first, others = Scale(0, high), [*filled, natural]
    if 0 < values.least < high:
        others.append(Scale(values.least, high))
    rest = tuple(scale for scale in dict.fromkeys(others) if scale != first)
    return Proposal(
        first,
        rest,
        f", under a tenth of what {kind} holds ({natural}): they would come out nearly all the same",
    )


def _of_sensor(values: Values, natural: Scale) -> Proposal:
    """Return the scale of numbers of 16 bits, to be asked for where the highest are not used: sensors have 12 to 15."""
    high = int(values.greatest)
    if high.bit_length() >= 16:
        return Proposal(natural)
    filled = Scale(0, 2 ** high.bit_length() - 1)
    others = (Scale(0, high), *(Scale(0, 2**bits - 1) for bits in _BITS if 2**bits > high), natural)
    return Proposal(
        filled,
        tuple(scale for scale in dict.fromkeys(others) if scale != filled),
        f"; they fit into {high.bit_length()} bits of the 16 of {values.dtype} ({natural}), so that it is not clear "
        "what is white",
    )


def _signed(values: Values) -> Proposal:
    low, high = values.least, values.greatest
    if values.dtype.kind == "f" and low >= -1 and high <= 1:
        symmetric = Scale(-1, 1)
        if low < -0.5 and high > 0.5:
            return Proposal(symmetric)
        return Proposal(
            symmetric, (Scale(low, high),), "; some are below 0, and it is not clear what is black"
        )
    reach = max(-low, high)
    others = tuple(dict.fromkeys((Scale(-reach, reach), Scale(low, high))))
    if values.dtype == np.int8:
        others = tuple(dict.fromkeys((Scale(-128, 127), *others)))
    return Proposal(others[0], others[1:], "; need uint8, or the scale of the values, since some are below 0")


def parsed(text: str) -> Scale:
    """Return the scale that is written ``LOW..HIGH``; raises InvalidInput (scale)."""
    found = _SCALE.match(text)
    try:
        if found is None:
            raise ValueError
        scale = Scale(float(found[1]), float(found[2]))
        if not (math.isfinite(scale.high - scale.low) and scale.low < scale.high):
            raise ValueError
    except ValueError:
        raise InvalidInput(
            {"scale": f"{text!r} is refused; write the black and the white value as LOW..HIGH, such as 0..1"}
        ) from None
    return scale


def _parts(images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    rows = max(1, _CHUNK_BYTES // max(1, images[0].nbytes))
    for start in range(0, len(images), rows):
        yield images[start : start + rows]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
