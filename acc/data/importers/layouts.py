"""The known layouts of the field: what their arrays and columns are called, which values they have, and their order."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from acc.data.importers.found import Column, Lazy, Opened, changed, grid_columns, joined
from acc.data.importers.limits import MIN_SIDE, refuse
from acc.data.importers.mapping import ColumnKind, GridFactor, Question

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "t10k": "test",
}
"""Words in the names of arrays and files that tell a part of a split."""
PART_ORDER = ("train", "val", "test")
_PART = re.compile(rf"(?:^|(?<=[_\-. /]))({'|'.join(PARTS)})(?=$|[_\-. /]|\d{{5}})[_\-. ]?", re.IGNORECASE)


@dataclass(frozen=True)
class Factor:
    """What a layout knows of one factor."""

    name: str
    kind: ColumnKind = "real"
    labels: tuple[str, ...] | None = None
    unit: str = ""
    period: float | None = None


_DSPRITES = (
    Factor("color", "constant"),
    Factor("shape", "class", ("square", "ellipse", "heart")),
    Factor("scale"),
    Factor("orientation", unit="rad", period=2 * math.pi),
    Factor("posX"),
    Factor("posY"),
)
_SHAPES3D = (
    Factor("floor_hue", period=1),
    Factor("wall_hue", period=1),
    Factor("object_hue", period=1),
    Factor("scale"),
    Factor("shape", "class", ("cube", "cylinder", "sphere", "capsule")),
    Factor("orientation", unit="deg"),
)
_MPI3D = (
    Factor("object_color", "class", ("white", "green", "red", "blue", "brown", "olive")),
    Factor("object_shape", "class", ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere")),
    Factor("object_size", "class", ("small", "large")),
    Factor("camera_height", "class", ("top", "center", "bottom")),
    Factor("background_color", "class", ("purple", "sea green", "salmon")),
    Factor("horizontal_axis"),
    Factor("vertical_axis"),
)
_MPI3D_COMPLEX = (
    Factor("object_color", "class", ("yellow", "green", "olive", "red")),
    Factor("object_shape", "class", ("coffee-cup", "tennis-ball", "croissant", "beer-cup")),
    *_MPI3D[2:],
)
GRIDS: Mapping[str, Sequence[tuple[tuple[int, ...], tuple[Factor, ...]]]] = {
    "dSprites": [((1, 3, 6, 40, 32, 32), _DSPRITES)],
    "3D Shapes": [((10, 10, 10, 8, 4, 15), _SHAPES3D)],
    "MPI3D": [((6, 6, 2, 3, 3, 40, 40), _MPI3D), ((4, 4, 2, 3, 3, 40, 40), _MPI3D_COMPLEX)],
}
"""Matthey et al. 2017; Burgess & Kim 2018; Gondal et al. 2019: the released sizes, the last factor the fastest."""
_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_KANA = tuple("おきすつなはまやれを")
_QMNIST: tuple[tuple[str, ColumnKind, str], ...] = (
    ("label", "class", ""),
    ("hsf_series", "class", ""),
    ("writer", "unit", "digits of one writer belong together"),
    ("digit_index", "text", "counts the digits of a writer"),
    ("nist_class", "text", "is the label in NIST's own code"),
    ("global_index", "id", "names the digit"),
    ("duplicate", "text", "is 0 but for 12 images"),
    ("unused", "text", "is 0"),
)
NORB_CATEGORIES = ("animal", "human", "airplane", "truck", "car")


def part_of(name: str) -> tuple[str, str]:
    """Return a name without the word for a part of a split, and the part, or nothing."""
    found = _PART.search(name)
    if found is None:
        return name, ""
    return (name[: found.start()] + name[found.end() :]).strip("_-. /") or "images", PARTS[found[1].lower()]


def by_part(arrays: Mapping[str, Lazy]) -> tuple[dict[str, Lazy], list[str]]:
    """Return arrays whose names differ in a part of a split one after the other, and the part of each of their rows.

    ``x_train``, ``y_train``, ``x_test`` and ``y_test`` become ``x`` and ``y``. Where they do not fit together they stay
    as they are, and no part is told.
    """
    groups: dict[str, dict[str, Lazy]] = {}
    alone: dict[str, Lazy] = {}
    for name, lazy in arrays.items():
        base, part = part_of(name)
        if not part:
            alone[name] = lazy
        elif part in groups.setdefault(base, {}):
            return dict(arrays), []
        else:
            groups[base][part] = lazy
    if not groups or any(base in alone for base in groups):
        return dict(arrays), []
    if not any(_is_wide(lazy) for group in groups.values() for lazy in group.values()):
        return dict(arrays), []  # ``test_score`` beside images is a column
    parts = [part for part in PART_ORDER if part in next(iter(groups.values()))]
    for group in groups.values():
        like = {(lazy.shape[1:], lazy.dtype.kind) for lazy in group.values()}
        if set(group) != set(parts) or len(like) > 1 or len({lazy.dtype for lazy in group.values()}) > 1:
            return dict(arrays), []
        if any(len(group[part]) != len(next(iter(groups.values()))[part]) for part in parts):
            return dict(arrays), []
    first = next(iter(groups.values()))
    told = [part for part in parts for _ in range(len(first[part]))] if len(parts) > 1 else []
    return {
        base: joined([group[part] for part in parts], base) for base, group in groups.items()
    } | alone, told


def _is_wide(lazy: Lazy) -> bool:
    """Return whether a row of an array may be an image."""
    return math.prod(lazy.shape[1:]) >= MIN_SIDE**2


def recognise(opened: Opened, images: Lazy | None) -> None:
    """Name a known layout of arrays, its columns, and the grid that is its order."""
    name, n = opened.file.lower(), len(images) if images is not None else 0
    keys = {*opened.arrays, *(_flat_name(column) for column in opened.columns)}
    if "imgs" in keys and keys & _LATENTS:
        _dsprites(opened)
    elif name.startswith("dsprites"):
        _in_order(opened, "dSprites", n, _sizes_in_name(name))
    elif name.startswith(("3dshapes", "shapes3d")) or (
        opened.format == "hdf5" and keys == {"images", "labels"} and _is_shapes3d(opened)
    ):
        _shapes3d(opened, n)
    elif name.startswith(("mpi3d", "real3d")) and not opened.columns:
        _in_order(opened, "MPI3D", n, ())
    elif not opened.columns and images is not None:
        for layout, grids in GRIDS.items():
            if any(math.prod(sizes) == n for sizes, _ in grids) and images.shape[1:3] == (64, 64):
                _in_order(opened, layout, n, ())
    _mnist(opened, name)


_LATENTS = {"latents_values", "latents_classes"}


def _flat_name(column: Column) -> str:
    """Return the name of a column's array, which dSprites has in a group of its own in HDF5."""
    return column.source.replace("/", "_")


def _dsprites(opened: Opened) -> None:
    opened.layout = "dSprites"
    both = len({_flat_name(column) for column in opened.columns} & _LATENTS) == len(_LATENTS)
    for column in opened.columns:
        if _flat_name(column) not in _LATENTS or column.index is None or column.index >= len(_DSPRITES):
            continue
        factor = _DSPRITES[column.index]
        _name(column, factor)
        of_classes = _flat_name(column) == "latents_classes"
        if factor.kind == "class" and not of_classes:
            column.labels = None
            column.kind = "text" if both else None
            column.why = "latents_classes tells the same" if both else ""
        elif factor.kind == "real" and of_classes:
            column.unit, column.period = "", None
            column.kind = "text" if both else "class"
            column.why = "latents_values tells the same" if both else ""


def _shapes3d(opened: Opened, n: int) -> None:
    opened.layout = "3D Shapes"
    table = [column for column in opened.columns if column.index is not None]
    if len(table) == len(_SHAPES3D):
        for column, factor in zip(table, _SHAPES3D, strict=True):
            _name(column, factor)
            if factor.kind == "class" and not _is_among(column, len(factor.labels or ())):
                column.kind, column.labels = "real", None
    else:
        _in_order(opened, "3D Shapes", n, ())


def _is_among(column: Column, classes: int) -> bool:
    values = column.values
    return bool((values == np.rint(values)).all() and values.min() >= 0 and values.max() < classes)


def _is_shapes3d(opened: Opened) -> bool:
    return len(opened.columns) == len(_SHAPES3D) and opened.arrays["images"].shape[1:] == (64, 64, 3)


def _sizes_in_name(name: str) -> tuple[int, ...]:
    """Return the sizes that dSprites has in the name of its file, such as ``co1sh3sc6or40x32y32``."""
    found = re.search(r"co(\d+)sh(\d+)sc(\d+)or(\d+)x(\d+)y(\d+)", name)
    return tuple(map(int, found.groups())) if found else ()


def _in_order(opened: Opened, layout: str, n: int, told: tuple[int, ...]) -> None:
    """Add the columns of a grid whose order the images are in, if their number is that of a known one."""
    opened.layout = layout
    if opened.columns:
        return
    known = [*GRIDS[layout], *([(told, GRIDS[layout][0][1])] if told else [])]
    for sizes, factors in known:
        if math.prod(sizes) == n:
            opened.grid = tuple(
                GridFactor(name=factor.name, size=size) for factor, size in zip(factors, sizes, strict=True)
            )
            for place, (factor, values) in enumerate(
                zip(factors, grid_columns(opened.grid).values(), strict=True)
            ):
                column = Column("grid", place, values, "the order of the images")
                _name(column, factor)
                column.unit, column.period = "", None  # a place in the grid is no angle
                opened.columns.append(column)
            opened.notes.append(
                f"{layout} without labels: its {n:,} images are taken to be in the order of its grid"
            )
            return
    released = " or ".join(f"{math.prod(sizes):,}" for sizes, _ in GRIDS[layout])
    names = ", ".join(factor.name for factor in GRIDS[layout][0][1])
    words = (
        f"{layout} has its factors in the order of its images, but {n:,} images are none of its released sizes "
        f"({released}): give the sizes of its grid ({names}), or there is no target"
    )
    opened.notes.append(words)
    shown = ",".join(f"{factor.name}:SIZE" for factor in GRIDS[layout][0][1])
    opened.undecided.append(Question(field="grid", words=words, choices=(shown,)))


def _name(column: Column, factor: Factor) -> None:
    column.name, column.kind, column.labels = factor.name, factor.kind, factor.labels
    column.unit, column.period = factor.unit, factor.period


def _mnist(opened: Opened, name: str) -> None:
    """Know the family of MNIST by the names of its files."""
    for word, layout in (
        ("emnist", "EMNIST"),
        ("qmnist", "QMNIST"),
        ("kmnist", "KMNIST"),
        ("k49", "Kuzushiji-49"),
        ("fashion", "Fashion-MNIST"),
    ):
        if re.search(rf"(?<![a-z]){word}", name):  # not within another word
            opened.layout = layout
            break
    else:
        if opened.format == "idx" and not opened.layout and any(c.source == "label" for c in opened.columns):
            opened.layout = "MNIST"
    if any(column.where.endswith("morpho.csv") for column in opened.columns):
        opened.layout = "Morpho-MNIST"
    for column in opened.columns:
        if column.index is None and column.source.endswith("label") and _is_among(column, 10):
            column.name = "label"
            if opened.layout == "Fashion-MNIST":
                column.labels = _FASHION
            elif opened.layout == "KMNIST":
                column.labels = _KANA
    if opened.layout == "EMNIST" and opened.format == "idx":
        opened.transposed = True
        opened.notes.append("EMNIST's pictures lie on their side: height and width change places")
    table = [column for column in opened.columns if column.source == "label" and column.index is not None]
    if len(table) == len(_QMNIST):
        opened.layout = "QMNIST"
        for column, (called, kind, why) in zip(table, _QMNIST, strict=True):
            column.name, column.kind, column.why = called, kind, why


def norb(opened: Opened, parts: Sequence[tuple[str, Lazy, Lazy | None, Lazy | None]]) -> None:
    """Add the two cameras of smallNORB (LeCun, Huang & Bottou 2004) and its columns.

    parts: for each part of the split its name, images ``(N, 2, H, W)``, categories ``(N,)`` and facts ``(N, 4)``.
    """
    opened.layout = "smallNORB"
    whole = joined([images for _, images, _, _ in parts], "images")
    if len(whole.shape) != 4 or whole.shape[1] != 2:
        raise refuse(opened.file, f"has images of shape {whole.shape}; smallNORB's are (N, 2, 96, 96)")
    for place, camera in enumerate(("left", "right")):
        opened.arrays[camera] = changed(
            whole, whole.shape[2:], partial(np.take, indices=place, axis=1), name=camera
        )
    opened.notes.append("smallNORB has two cameras; the left one is taken unless the right is chosen")
    if len(parts) > 1:
        told = [part or "train" for part, images, _, _ in parts for _ in range(len(images))]
        opened.add("split", np.array(told), opened.file, kind="split")
    cats = [cat for _, _, cat, _ in parts if cat is not None]
    if len(cats) == len(parts):
        values = joined(cats, "category").whole().reshape(-1).astype(np.int64)
        fits = len(values) == 0 or int(values.max()) < len(NORB_CATEGORIES)
        opened.add("category", values, cats[0].where, kind="class", labels=NORB_CATEGORIES if fits else None)
    infos = [info for _, _, _, info in parts if info is not None]
    if len(infos) == len(parts):
        facts = joined(infos, "info").whole().astype(np.int64)
        if facts.ndim == 2 and facts.shape[1] == 4:
            where = infos[0].where
            opened.add("instance", facts[:, 0], where, kind="class")
            opened.add("elevation", 30 + 5 * facts[:, 1], where, kind="real", unit="deg")
            opened.add("azimuth", 10 * facts[:, 2], where, kind="real", unit="deg", period=360.0)
            opened.add("lighting", facts[:, 3], where, kind="class")


def cars3d(opened: Opened, cars: Sequence[str], images: Lazy) -> None:
    """Add the columns of Cars3D (Reed et al. 2015): 24 azimuths, and of each 4 elevations, for each car."""
    opened.layout = "Cars3D"
    opened.arrays["im"] = images
    factors = [GridFactor(name="car", size=len(cars)), *CARS_GRID]
    values = grid_columns(factors)
    opened.add("elevation", values["elevation"], opened.file, kind="real")
    opened.add("azimuth", 15 * values["azimuth"], opened.file, kind="real", unit="deg", period=360.0)
    if len(cars) > 1:
        opened.add("car", values["car"], opened.file, kind="class", labels=tuple(cars))


CARS_GRID = (GridFactor(name="azimuth", size=24), GridFactor(name="elevation", size=4))
