"""From loose arrays to a dataset: which axis is which, what is a class, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.dataset import UNITS, AccDataset
from acc.data.importers.limits import check_side, refuse
from acc.data.importers.looks import Look
from acc.data.importers.scale import Pixels, stored
from acc.errors import InvalidInput
from acc.names import clean_name
from acc.specs import TargetSpec

CHANNELS = (1, 3, 4)
MAX_CLASSES = 100_000
IMAGE_NAMES = ("images", "x", "data", "x_train", "arr_0")
LEAST_IDS = 3
"""Fewer rows that all differ may well be one of each class."""


def dataset_of(
    images: NDArray[Any],
    targets: Mapping[str, NDArray[Any]],
    *,
    file: str,
    table: str = "",
    labels: Mapping[str, tuple[str, ...]] | None = None,
    pixels: Pixels = "uint8",
    look: Look | None = None,
) -> AccDataset:
    """Return a dataset of arrays as they come; what is found in them is told to ``look``, which holds the answers.

    images: ``(N, H, W)``, ``(N, H, W, C)`` or ``(N, C, H, W)`` with 1, 3 or 4 channels, of any numbers whose scale is
    clear or answered (``acc.data.importers.scale``). targets: ``(N,)`` or ``(N, 1)``, from the file ``table`` (default:
    ``file``); whole numbers from 0 are classes, others real; whole numbers that all differ are an id and left out.
    The column ``units``, whole numbers, tells which rows belong together and is no target.
    labels: the names of the classes of some targets. Raises InvalidInput (file) naming array and value.
    """
    look, table = look or Look(), table or file
    images = channels_first(images, file)
    look.found(
        "images", f"{len(images):,} of {' x '.join(map(str, images.shape[1:]))} (channels, height, width)"
    )
    pixels_of = stored(images, file, pixels, look)
    columns: dict[str, NDArray[Any]] = {}
    specs: list[TargetSpec] = []
    units = units_of(targets[UNITS], len(images), table) if UNITS in targets else None
    if units is not None:
        look.found(UNITS, f"{len(np.unique(units)):,} units of rows that belong together")
    for name, values in targets.items():
        if name == UNITS:
            continue
        spec, column = target_of(name, values, len(images), table)
        named = (labels or {}).get(name)
        if is_id(values):
            look.found(
                f"id '{name}'",
                f"left out: each of the {len(images):,} rows has another {'text' if named else 'whole number'}, so it "
                "names the row and is no target",
            )
            look.keep("ids", [*look.record.get("ids", []), name])
            continue
        if named is not None:
            spec = spec.model_copy(update={"classes": len(named), "labels": named})
        if spec.name in columns:
            raise refuse(table, f"has two targets called '{spec.name}'; give one another name")
        specs.append(spec)
        columns[spec.name] = column
        kind = f"{spec.classes} classes" if spec.kind == "class" else f"real, {spec.min:g} to {spec.max:g}"
        look.found(f"target '{spec.name}'", kind, kind=spec.kind)
    if not columns:
        look.found("targets", "none")
    return AccDataset(images=pixels_of, targets=columns, target_specs=tuple(specs), units=units)


def dataset_of_named(
    arrays: Mapping[str, NDArray[Any]], *, file: str, pixels: Pixels = "uint8", look: Look | None = None
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
    return dataset_of(images, targets, file=file, pixels=pixels, look=look)


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


def is_id(values: NDArray[Any]) -> bool:
    """Return whether a column names its rows: whole numbers (or numbered texts), no two of them the same."""
    whole = bool(np.issubdtype(values.dtype, np.integer))
    return whole and values.size >= LEAST_IDS and len(np.unique(values)) == values.size


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
    try:
        key = clean_name(name)
    except InvalidInput as error:
        raise refuse(file, f"has a target called {name!r}: {error.fields['name'][0]}") from error
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n,):
        raise refuse(
            file,
            f"does not fit: there are {n} images, but target '{name}' has shape {values.shape}; "
            "need one value for each",
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
