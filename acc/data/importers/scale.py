"""What pixel values mean: which is black and which is white. Found, proposed, and asked for where it is not clear."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from acc.data.importers.limits import refuse
from acc.data.importers.looks import Look, Question
from acc.errors import InvalidInput

Pixels = Literal["uint8", "float32"]
"""How pixels are stored: rounded to 256 levels, or as numbers from 0 to 1."""

MAX_COUNTED = 1_000
LEAST_SHARE = 0.1
"""Of the range of its type: below it a dataset is asked what its values mean, since it would come out near-black."""
NEAR_WHITE = 0.97
"""Of 255: floats above 1 that end lower and are no whole numbers may well be percentages, or of another scale."""
_BITS = (8, 10, 12, 14, 16)
_CHUNK_BYTES = 1 << 24
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

    @property
    def words(self) -> str:
        many = f"more than {MAX_COUNTED:,}" if self.distinct is None else f"{self.distinct:,}"
        return f"{self.dtype}, {_number(self.least)} to {_number(self.greatest)}, {many} different values"


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


def stored(images: NDArray[Any], file: str, pixels: Pixels, look: Look) -> NDArray[Any]:
    """Return images on the scale that was answered or found, as uint8 0..255 or float32 0..1.

    What was found and the scale are told to ``look``. Raises InvalidInput (file, scale, pixels).
    """
    if pixels not in ("uint8", "float32"):
        raise InvalidInput({"pixels": f"{pixels!r} is refused; choose uint8 or float32"})
    values = values_of(images, file)
    proposal = proposed(values)
    choices = tuple(map(str, (proposal.scale, *proposal.others)))
    answer = look.ask(
        Question(
            "scale",
            f"'{file}' has pixel values from {_number(values.least)} to {_number(values.greatest)}{proposal.why}. "
            f"Say which value is black and which is white: scale={choices[0]} (proposed)"
            + "".join(f", scale={each}" for each in choices[1:])
            + f", or another LOW..HIGH. Found: {values.words}",
            choices,
            choices[0],
            needed=bool(proposal.why),
        )
    )
    scale = parsed(answer)
    if values.least < scale.low or values.greatest > scale.high:
        raise InvalidInput(
            scale=f"{answer!r} is refused: '{file}' has pixel values from {_number(values.least)} to "
            f"{_number(values.greatest)}, which is beyond it; choose {choices[0]}, or another LOW..HIGH"
        )
    identity = values.dtype == np.uint8 and scale == Scale(0, 255)
    if pixels == "float32" and (identity or values.dtype == np.bool_):
        raise refuse(
            file, f"has images of type {images.dtype}; only floats are stored as float32, these as uint8"
        )
    facts = {
        "dtype": str(values.dtype),
        "least": values.least,
        "greatest": values.greatest,
        "distinct": values.distinct,
        "scale": str(scale),
    }
    kept = "rounded to 256 levels" if pixels == "uint8" else "as float32, 0 to 1"
    kept = "as they are" if identity else kept
    look.found("pixels", f"{values.words}; scale {scale} (black..white), kept {kept}", **facts)
    look.keep("scale", str(scale))
    look.keep("pixels", values.words)
    if identity:
        return np.ascontiguousarray(images)
    return _as_float32(images, scale) if pixels == "float32" else _as_uint8(images, scale)


def values_of(images: NDArray[Any], file: str) -> Values:
    """Return which values there are; raises InvalidInput (file) for what are no finite numbers."""
    number = np.issubdtype(images.dtype, np.number) or images.dtype == np.bool_
    if not number or np.issubdtype(images.dtype, np.complexfloating):
        raise refuse(file, f"has images of type {images.dtype}; need uint8, or floats from 0 to 1")
    known: NDArray[Any] | None = np.empty(0, images.dtype)
    low, high, whole = math.inf, -math.inf, True
    for part in _parts(images):
        least, greatest = float(part.min()), float(part.max())
        if not (math.isfinite(least) and math.isfinite(greatest)):
            raise refuse(
                file, f"has pixel values from {least:g} to {greatest:g}; need uint8, or floats from 0 to 1"
            )
        low, high = min(low, least), max(high, greatest)
        whole = whole and (part.dtype.kind != "f" or bool((part == np.rint(part)).all()))
        if known is not None:
            known = np.union1d(known, np.unique(part))
            known = known if len(known) <= MAX_COUNTED else None
    return Values(images.dtype, low, high, None if known is None else len(known), whole)


def proposed(values: Values) -> Proposal:
    """Return the scale that values most likely have.

    Asks where their range is under a tenth of their type's, and where fractions above 1 do not come near 255.
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
        return Proposal(natural)
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
        if not (math.isfinite(scale.low) and math.isfinite(scale.high) and scale.low < scale.high):
            raise ValueError
    except ValueError:
        raise InvalidInput(
            {"scale": f"{text!r} is refused; write the black and the white value as LOW..HIGH, such as 0..1"}
        ) from None
    return scale


def _as_uint8(images: NDArray[Any], scale: Scale) -> NDArray[np.uint8]:
    pixels = np.empty(images.shape, dtype=np.uint8)
    # One at a time: a scaled copy of all would be eight times the dataset.
    for number, image in enumerate(images):
        if scale == Scale(0, 1) and image.dtype.kind == "f":
            levels = image * 255.0
        else:
            levels = (image.astype(np.float64) - scale.low) * 255.0 / (scale.high - scale.low)
        np.rint(levels, out=pixels[number], casting="unsafe")
    return pixels


def _as_float32(images: NDArray[Any], scale: Scale) -> NDArray[np.float32]:
    if scale == Scale(0, 1) and images.dtype.kind == "f":
        return np.ascontiguousarray(images, dtype=np.float32)
    pixels = np.empty(images.shape, dtype=np.float32)
    for number, image in enumerate(images):
        pixels[number] = (image.astype(np.float64) - scale.low) / (scale.high - scale.low)
    return pixels


def _parts(images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    rows = max(1, _CHUNK_BYTES // max(1, images[0].nbytes))
    for start in range(0, len(images), rows):
        yield images[start : start + rows]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
