"""Tells of loose arrays which may be images, which are columns, and what is passed over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from acc.data.importers import columns, layouts
from acc.data.importers.found import Column, Lazy, Opened, changed, of_array
from acc.data.importers.limits import refuse
from acc.data.importers.mapping import PassedOver
from acc.errors import InvalidInput

CHANNELS = (1, 3, 4)
IMAGE_NAMES = ("images", "imgs", "x", "data", "x_train", "arr_0", "pictures")
LABEL_NAMES = ("label", "labels", "y", "target", "targets", "class", "classes")
LEAST_FLAT = 64
MAX_COLUMNS = 512
"""An array ``(N, K)`` of more is no table of columns."""


def assemble(arrays: Mapping[str, Lazy], found: Opened, told: Sequence[Column]) -> None:
    """Tell which arrays may be images, which are columns, and what is passed over; ``told``: further columns."""
    known = bool(found.columns)
    joined, parts = layouts.by_part(arrays)
    lazies = {name: lazy.renamed(name) for name, lazy in joined.items()}
    cars = found.layout == "Cars3D"
    if not cars and len(lazies) == 1 and "im" in lazies and lazies["im"].shape[2:] == (3, 24, 4):
        im = lazies["im"].whole()
        flat = im.transpose(3, 4, 0, 1, 2).reshape(-1, *im.shape[:3])
        lazies = {"im": of_array("im", flat, found.file)}
        layouts.cars3d(found, [Path(found.file).stem], lazies["im"])
    images = {name: lazy for name, lazy in lazies.items() if is_images(lazy)}
    if not images:
        images = {name: lazy for name, lazy in lazies.items() if is_flat(lazy)}
    if not images:
        raise refuse(found.file, _no_images(lazies, found))
    chosen = known_images(images)
    first = images[chosen] if chosen else next(iter(images.values()))
    found.arrays = {name: lazy for name, lazy in images.items() if len(lazy) == len(first)}
    for name, lazy in lazies.items():
        if name in found.arrays:
            continue
        if len(lazy) == len(first) and len(lazy.shape) <= 2 and math.prod(lazy.shape[1:]) <= MAX_COLUMNS:
            try:
                found.columns += columns_of(lazy)
            except InvalidInput as error:
                found.refuse_columns({name: error.fields["file"][0]})
            continue
        shown = f"'{name}' of shape {lazy.shape}"
        if name.lower() in LABEL_NAMES and len(lazy.shape) <= 2:
            found.leave(
                name,
                f"'{lazy.where}' does not fit: there are {len(first)} images, but target '{name}' has shape "
                f"{lazy.shape}; need one value for each",
            )
        found.passed_over.append(
            PassedOver(name=name, why=f"{shown} has no value for each of the {len(first):,} images")
        )
    if parts and len(parts) == len(first):
        found.add("split", np.array(parts), found.file, kind="split")
    found.columns += told
    if not known and not cars:
        layouts.recognise(found, first if chosen else None)


def is_images(lazy: Lazy) -> bool:
    """Return whether an array may be images: numbers ``(N, H, W)``, ``(N, H, W, C)`` or ``(N, C, H, W)``."""
    return lazy.dtype.kind in "biuf" and channels_of(lazy.shape) is not None


def channels_of(shape: Sequence[int]) -> str | None:
    """Return where an array has its channels: ``none``, ``first``, ``last``, or None for what are no images."""
    if len(shape) == 3:
        return "none"
    if len(shape) != 4:
        return None
    if shape[1] in CHANNELS and not (shape[3] in CHANNELS and shape[1] > shape[3]):
        return "first"
    return "last" if shape[3] in CHANNELS else None


def flat_shape(shape: Sequence[int]) -> tuple[int, int, int] | None:
    """Return channels, height and width of square images that are kept as rows of numbers ``(N, K)``, or None."""
    if len(shape) != 2 or shape[1] < LEAST_FLAT:
        return None
    for channels in (1, 3):
        side = math.isqrt(shape[1] // channels)
        if channels * side * side == shape[1]:
            return channels, side, side
    return None


def is_flat(lazy: Lazy) -> bool:
    """Return whether an array may be images whose pixels are in rows."""
    return lazy.dtype.kind in "biuf" and flat_shape(lazy.shape) is not None


def known_images(images: Mapping[str, object]) -> str:
    """Return the array that is the images by its name, or the only one; nothing where it is not clear."""
    lower = {name.lower(): name for name in images}
    for known in IMAGE_NAMES:
        if known in lower:
            return lower[known]
    ending = [name for name in images if name.lower().endswith(("images", "imgs"))]
    if len(ending) == 1:
        return ending[0]
    return next(iter(images)) if len(images) == 1 else ""


def _no_images(lazies: Mapping[str, Lazy], found: Opened) -> str:
    shapes = [f"{name} {lazy.shape} {lazy.dtype}" for name, lazy in sorted(lazies.items())]
    there = ", ".join(
        shapes[:20] + [f"{each.name} (passed over: {each.why})" for each in found.passed_over[:5]]
    )
    return (
        f"holds {there or 'no array'}; need (N, H, W), (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels: "
        "name the array of images 'images'"
    )


def unflattened(lazy: Lazy, shape: tuple[int, int, int]) -> Lazy:
    """Return rows of numbers as images ``(N, C, H, W)``."""
    return changed(lazy, shape, lambda block: block.reshape(len(block), *shape))


def columns_of(lazy: Lazy) -> list[Column]:
    """Return the columns of an array ``(N,)`` or ``(N, K)``, of which texts are classes."""
    values = lazy.whole()
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "backslashreplace")  # which lets no two fall together
    many = [(None, values)] if values.ndim != 2 else [(k, values[:, k]) for k in range(values.shape[1])]
    found = []
    for place, each in many:
        labels = None
        if each.dtype.kind == "U" and each.ndim == 1:
            each, labels = columns.classes_of(each.tolist(), lazy.name, lazy.where)  # noqa: PLW2901
        found.append(Column(lazy.name, place, each, lazy.where, labels=labels))
    return found
