"""From loose arrays to a dataset: which axis is which, what is a class, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from acc.data.dataset import UNITS, AccDataset
from acc.data.importers.limits import check_side, refuse
from acc.errors import InvalidInput
from acc.specs import KEY_PATTERN, TargetSpec

CHANNELS = (1, 3, 4)
MAX_CLASSES = 100_000
IMAGE_NAMES = ("images", "x", "data", "x_train", "arr_0")
Pixels = Literal["uint8", "float32"]
"""How images of numbers from 0 to 1 are stored: rounded to bytes, or as they are."""


def dataset_of(
    images: NDArray[Any],
    targets: Mapping[str, NDArray[Any]],
    *,
    file: str,
    labels: Mapping[str, tuple[str, ...]] | None = None,
    pixels: Pixels = "uint8",
) -> AccDataset:
    """Return a dataset of arrays as they come.

    images: ``(N, H, W)``, ``(N, H, W, C)`` or ``(N, C, H, W)`` with 1, 3 or 4 channels; uint8, bool, whole numbers
    in 0..255, or floats in 0..1. targets: ``(N,)`` or ``(N, 1)``; whole numbers from 0 are classes, others real.
    The column ``units``, whole numbers, tells which rows belong together and is no target.
    labels: the names of the classes of some targets. Raises InvalidInput (file) naming array and value.
    """
    if pixels not in ("uint8", "float32"):
        raise InvalidInput({"pixels": f"{pixels!r} is refused; choose uint8 or float32"})
    images = channels_first(images, file)
    stored = to_float32(images, file) if pixels == "float32" else to_uint8(images, file)
    columns: dict[str, NDArray[Any]] = {}
    specs: list[TargetSpec] = []
    units = units_of(targets[UNITS], len(stored), file) if UNITS in targets else None
    for name, values in targets.items():
        if name == UNITS:
            continue
        spec, column = target_of(name, values, len(stored), file)
        named = (labels or {}).get(name)
        if named is not None:
            spec = spec.model_copy(update={"classes": len(named), "labels": named})
        if spec.name in columns:
            raise refuse(file, f"has two targets called '{spec.name}'; give one another name")
        specs.append(spec)
        columns[spec.name] = column
    return AccDataset(images=stored, targets=columns, target_specs=tuple(specs), units=units)


def dataset_of_named(
    arrays: Mapping[str, NDArray[Any]], *, file: str, pixels: Pixels = "uint8"
) -> AccDataset:
    """Return a dataset of arrays by name: one of images, and all of one value for each image as targets.

    Images are the array named ``images`` (or x, data, x_train, arr_0), else the only one of three or more axes.
    Raises InvalidInput (file).
    """
    left = dict(arrays)
    name = _images_name(left, file)
    images = left.pop(name)
    targets = {
        key: value
        for key, value in left.items()
        if value.ndim == 1 or (value.ndim == 2 and value.shape[1] == 1)
    }
    left_over = sorted(left.keys() - targets.keys())
    if left_over:
        raise refuse(
            file,
            f"holds '{left_over[0]}' of shape {left[left_over[0]].shape} beside the images '{name}'; "
            "need one value for each image, or no such array",
        )
    return dataset_of(images, targets, file=file, pixels=pixels)


def _images_name(arrays: Mapping[str, NDArray[Any]], file: str) -> str:
    candidates = [name for name, value in arrays.items() if value.ndim >= 3]
    lower = {name.lower(): name for name in candidates}
    for known in IMAGE_NAMES:
        if known in lower:
            return lower[known]
    if len(candidates) == 1:
        return candidates[0]
    there = ", ".join(f"{name} {value.shape}" for name, value in sorted(arrays.items())) or "no array"
    raise refuse(
        file, f"holds {there}; name the array of images 'images', of shape (N, H, W) or (N, H, W, C)"
    )


def channels_first(images: NDArray[Any], file: str) -> NDArray[Any]:
    """Return images as ``(N, C, H, W)``; raises InvalidInput (file) for a shape that is none."""
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in CHANNELS and images.shape[3] in CHANNELS:
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in CHANNELS:
        raise refuse(
            file,
            f"has images of shape {images.shape}; need (N, H, W), (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels",
        )
    if len(images) == 0:
        raise refuse(file, "holds no image; at least one is needed")
    for side in images.shape[2:]:
        check_side(file, side)
    return images


def to_uint8(images: NDArray[Any], file: str) -> NDArray[np.uint8]:
    """Return pixel values as uint8; floats in 0..1 are scaled to 0..255 and rounded."""
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype == np.bool_:
        return np.ascontiguousarray(images, dtype=np.uint8) * np.uint8(255)
    if _check_values(images, file):
        return np.ascontiguousarray(images, dtype=np.uint8)
    pixels = np.empty(images.shape, dtype=np.uint8)
    # One at a time: a scaled copy of all would be eight times the dataset.
    for number, image in enumerate(images):
        np.rint(image * 255.0, out=pixels[number], casting="unsafe")
    return pixels


def to_float32(images: NDArray[Any], file: str) -> NDArray[np.float32]:
    """Return pixel values as float32 in 0..1; whole numbers and truth values are refused: they are bytes."""
    if not np.issubdtype(images.dtype, np.floating):
        raise refuse(
            file, f"has images of type {images.dtype}; only floats are stored as float32, these as uint8"
        )
    _check_values(images, file)
    return np.ascontiguousarray(images, dtype=np.float32)


def _check_values(images: NDArray[Any], file: str) -> bool:
    """Return whether pixels are whole numbers; raises InvalidInput (file) for those out of range."""
    if not np.issubdtype(images.dtype, np.number) or np.issubdtype(images.dtype, np.complexfloating):
        raise refuse(file, f"has images of type {images.dtype}; need uint8, or floats from 0 to 1")
    whole = bool(np.issubdtype(images.dtype, np.integer))
    top = 255 if whole else 1
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= top):  # so that NaN is refused as well
        kind = "whole numbers from 0 to 255" if whole else "floats from 0 to 1"
        raise refuse(file, f"has pixel values from {low:g} to {high:g}; need uint8, or {kind}")
    return whole


def units_of(values: NDArray[Any], n: int, file: str) -> NDArray[np.int64]:
    """Return which unit each row belongs to; raises InvalidInput (file) for what does not say so."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n,) or not np.issubdtype(values.dtype, np.integer):
        raise refuse(
            file,
            f"has '{UNITS}' of shape {values.shape} and type {values.dtype}; it is to be one whole number for each "
            f"of the {n} images, the same for those that belong together. Give a target another name",
        )
    return values.astype(np.int64)


def target_of(name: str, values: NDArray[Any], n: int, file: str) -> tuple[TargetSpec, NDArray[Any]]:
    """Return a target column and its description; raises InvalidInput (file) naming the column."""
    key = name.strip().lower().replace(" ", "_").replace(".", "_")
    if not KEY_PATTERN.match(key):
        raise refuse(file, f"has a target called {name!r}; use letters a to z, digits, - and _")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n,):
        raise refuse(
            file, f"has {n} images, but target '{name}' has shape {values.shape}; need one value for each"
        )
    if np.issubdtype(values.dtype, np.bool_):
        values = values.astype(np.int64)
    if np.issubdtype(values.dtype, np.integer) and values.min() >= 0 and values.max() < MAX_CLASSES:
        classes = int(values.max()) + 1
        return TargetSpec(name=key, kind="class", classes=classes), values.astype(np.int64)
    if not np.issubdtype(values.dtype, np.number) or np.issubdtype(values.dtype, np.complexfloating):
        raise refuse(file, f"has target '{name}' of type {values.dtype}; need numbers")
    with np.errstate(over="ignore"):
        column = values.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(column))
    if len(wrong):
        raise refuse(
            file, f"has target '{name}' {values[wrong[0]]} at sample {wrong[0]}; need finite float32 numbers"
        )
    return TargetSpec(name=key, kind="real", min=float(column.min()), max=float(column.max())), column
