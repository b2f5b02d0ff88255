"""From loose arrays to a dataset: which axis is which, what is a class, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.dataset import AccDataset
from acc.data.importers.limits import refuse
from acc.specs import KEY_PATTERN, TargetSpec

CHANNELS = (1, 3, 4)
MIN_SIDE, MAX_SIDE = 8, 1024
MAX_CLASSES = 100_000


def dataset_of(images: NDArray[Any], targets: Mapping[str, NDArray[Any]], *, file: str) -> AccDataset:
    """Return a dataset of arrays as they come.

    images: ``(N, H, W)``, ``(N, H, W, C)`` or ``(N, C, H, W)`` with 1, 3 or 4 channels; uint8, bool, whole numbers
    in 0..255, or floats in 0..1. targets: ``(N,)`` or ``(N, 1)``; whole numbers from 0 are classes, others real.
    Raises InvalidInput (file) naming array and value.
    """
    pixels = to_uint8(channels_first(images, file), file)
    columns: dict[str, NDArray[Any]] = {}
    specs: list[TargetSpec] = []
    for name, values in targets.items():
        spec, column = target_of(name, values, len(pixels), file)
        specs.append(spec)
        columns[spec.name] = column
    return AccDataset(images=pixels, targets=columns, target_specs=tuple(specs))


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
        if not MIN_SIDE <= side <= MAX_SIDE:
            raise refuse(file, f"has images {side} pixels wide or high; {MIN_SIDE} to {MAX_SIDE} are allowed")
    return images


def to_uint8(images: NDArray[Any], file: str) -> NDArray[np.uint8]:
    """Return pixel values as uint8; floats in 0..1 are scaled to 0..255 and rounded."""
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype == np.bool_:
        return np.ascontiguousarray(images, dtype=np.uint8) * np.uint8(255)
    if not np.issubdtype(images.dtype, np.number) or np.issubdtype(images.dtype, np.complexfloating):
        raise refuse(file, f"has images of type {images.dtype}; need uint8, or floats from 0 to 1")
    whole = np.issubdtype(images.dtype, np.integer)
    top = 255 if whole else 1
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= top):  # so that NaN is refused as well
        kind = "whole numbers from 0 to 255" if whole else "floats from 0 to 1"
        raise refuse(file, f"has pixel values from {low:g} to {high:g}; need uint8, or {kind}")
    if whole:
        return np.ascontiguousarray(images, dtype=np.uint8)
    pixels = np.empty(images.shape, dtype=np.uint8)
    for number, image in enumerate(
        images
    ):  # one at a time: a scaled copy of all would be eight times the dataset
        np.rint(image * 255.0, out=pixels[number], casting="unsafe")
    return pixels


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
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise refuse(
            file, f"has target '{name}' {values[wrong[0]]} at sample {wrong[0]}; need finite numbers"
        )
    column = values.astype(np.float32)
    return TargetSpec(name=key, kind="real", min=float(column.min()), max=float(column.max())), column
