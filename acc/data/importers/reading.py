"""Makes a dataset of a source as a mapping says: a preview of a few images, or the whole file, written in a stream."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acc.data import files
from acc.data.dataset import IMAGES, PARTS, SPLIT, TARGET_PREFIX, UNITS, AccDataset, ContentHash, description
from acc.data.importers import layouts
from acc.data.importers.assembling import channels_of, unflattened
from acc.data.importers.found import SAMPLE_BYTES, Column, Lazy, Opened, grid_columns
from acc.data.importers.layouts import PART_ORDER
from acc.data.importers.limits import check_bytes, check_side, refuse
from acc.data.importers.looking import MAX_CLASSES, SPLIT_NAMES, check_decided, describe, with_images
from acc.data.importers.mapping import Histogram, ImportMapping, Steps, TargetMapping
from acc.data.importers.opening import Limits, opened
from acc.data.importers.scale import Scaler
from acc.errors import InvalidInput
from acc.specs import TargetSpec

BINS = 30
ALL = "all"
AHEAD = 4
"""So many blocks may wait to be hashed."""
GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Of red, green and blue: ITU-R BT.601."""
_PARTS = {word: PART_ORDER.index(part) for word, part in layouts.PARTS.items()}
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Preview:
    """Some images ``(n, C, H, W)`` as they will be stored, what each of them is, and the histograms of the targets."""

    images: NDArray[Any]
    captions: tuple[str, ...]
    histograms: tuple[Histogram, ...]


def preview(path: Path, mapping: ImportMapping, n: int, *, labels: Path | None, limits: Limits) -> Preview:
    """Return ``n`` images as they will be, and the histograms of the targets; keeps nothing.

    Raises InvalidInput naming the field of the mapping that does not fit.
    """
    with opened(path, labels, limits) as found:
        plan = Plan(found, mapping, limits.max_bytes)
        there = len(plan.rows)
        if plan.images.pick is None:  # those at the end would cost the reading of all
            each = max(1, plan.images.nbytes // len(plan.images))
            near = int(np.searchsorted(plan.rows, max(n, SAMPLE_BYTES // each)))
            there = max(near, min(n, there))  # a part may begin beyond them
        places = np.unique(np.linspace(0, there - 1, min(n, there)).astype(np.int64))
        blocks = [plan.finished(block, start) for start, block in plan.blocks(plan.rows[places])]
        captions = tuple(plan.caption(int(place)) for place in places)
        return Preview(np.concatenate(blocks), captions, plan.histograms())


def read(
    path: Path,
    mapping: ImportMapping,
    out: Path,
    *,
    labels: Path | None,
    limits: Limits,
    progress: Progress,
) -> dict[str, Any]:
    """Write the dataset file of a source to ``out``, block by block, and return its provenance.

    The mapping is in it, so that the same import can be made again. Nothing is left behind where it fails. Raises
    InvalidInput naming the field of the mapping that does not fit, or ``file`` for what is wrong with the source.
    """
    with opened(path, labels, limits) as found:
        plan = Plan(found, mapping, limits.max_bytes)
        plan.write(out, progress)
        progress(1.0)
        return plan.provenance()


class Plan:
    """A source and a mapping that fits it: what is taken, and how each image becomes what is stored."""

    def __init__(self, found: Opened, mapping: ImportMapping, max_bytes: int) -> None:
        self.found = found
        self.mapping = mapping = _decided(found, mapping)
        self.images = _images(found, mapping)
        self._channels = "first" if mapping.flat else mapping.channels
        self._scale = Scaler(mapping.scale, mapping.pixels, self.images.dtype, found.file)
        self._columns = {column.key: column for column in _with_grid(found, mapping, len(self.images))}
        self.rows = np.arange(len(self.images))
        self.split = self._split()
        self.targets: dict[str, NDArray[Any]] = {}
        self.specs: list[TargetSpec] = []
        self._histograms: list[Histogram] = []
        for place, target in enumerate(mapping.targets):
            self._add(target, place)
        self.units = self._units() if mapping.units else None
        if mapping.id:
            self._column(mapping.id, "id")
        channels, height, width = _axes(self.images.shape[1:], self._channels)
        self.shape = _shape_after(mapping.steps, channels, height, width)
        for side in self.shape[1:]:
            check_side(found.file, side)
        self.dtype = np.dtype(np.float32 if mapping.pixels == "float32" else np.uint8)
        check_bytes(found.file, len(self.rows) * math.prod(self.shape) * self.dtype.itemsize, max_bytes)
        # The images are checked as they come; here it is the columns that are.
        nothing = np.broadcast_to(np.zeros((1, 1, 1, 1), np.uint8), (len(self.rows), *self.shape))
        self.columns = AccDataset(nothing, self.targets, self.specs, units=self.units, split=self.split)

    # --- images

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield blocks of images as they are in the source, each with the number of its first row."""
        done = 0
        whole = len(rows) == len(self.images)
        for block in self.images.blocks() if whole else self.images.rows(rows):
            yield int(rows[done]), block
            done += len(block)

    def finished(self, block: NDArray[Any], first: int) -> NDArray[Any]:
        """Return a block of images as they are stored, ``(n, C, H, W)``; ``first``: the number of its first row."""
        if self._channels == "none":
            block = block[:, None]
        elif self._channels == "last":
            block = block.transpose(0, 3, 1, 2)
        steps = self.mapping.steps
        if steps.transpose:
            block = block.swapaxes(2, 3)
        images = self._scale(block)
        if steps.background and images.shape[1] == 4:
            images = _laid_on(images, steps.background)
        if steps.grey:
            images = _grey(images)
        if steps.crop is not None:
            images = self._cropped(images, steps.crop, first)
        if steps.resize is not None:
            images = _resized(images, steps.resize)
        if images.shape[1:] != self.shape:
            high, wide = self.shape[1:]
            raise InvalidInput(
                {
                    "steps.resize": f"'{self.found.file}' has images of different sizes: {self.images.named(first)} is "
                    f"{images.shape[3]} x {images.shape[2]}, others are {wide} x {high} pixels; say to which they "
                    "are scaled"
                }
            )
        return np.ascontiguousarray(images)

    def _cropped(self, images: NDArray[Any], sides: tuple[int, int], first: int) -> NDArray[Any]:
        (high, wide), (height, width) = images.shape[2:], sides
        if height > high or width > wide:
            raise InvalidInput(
                {
                    "steps.crop": f"{height} x {width} cannot be cut from {self.images.named(first)} of "
                    f"'{self.found.file}', which is {high} x {wide} pixels high and wide; choose less"
                }
            )
        top, left = (high - height) // 2, (wide - width) // 2
        return images[:, :, top : top + height, left : left + width]

    def write(self, out: Path, progress: Progress) -> str:
        """Write the dataset file and return its content hash, which is taken on the way in a thread of its own."""
        data = self.columns
        shape = (len(self.rows), *self.shape)
        small: dict[str, NDArray[Any]] = {TARGET_PREFIX + name: data.targets[name] for name in data.targets}
        small |= {} if data.units is None else {UNITS: data.units}
        small |= {} if data.split is None else {SPLIT: data.split}
        layout = {name: (array.dtype, array.shape) for name, array in small.items()}
        digest = ContentHash(
            shape, self.dtype, self.specs, units=data.units is not None, split=data.split is not None
        )
        pending: deque[Future[None]] = deque()
        with (
            ThreadPoolExecutor(1) as hashing,
            files.writing(
                out, layout | {IMAGES: (self.dtype, shape)}, description("0" * 64, self.specs)
            ) as file,
        ):
            for name, array in small.items():
                file.put(name, array)
            done = 0
            for first, block in self.blocks(self.rows):
                images = self.finished(block, first)
                pending.append(hashing.submit(digest.images, images))
                file.put(IMAGES, images)
                if len(pending) > AHEAD:
                    pending.popleft().result()
                done += len(images)
                progress(0.99 * done / shape[0])
            while pending:
                pending.popleft().result()
            found = digest.end(data.targets, data.units, data.split)
            file.close(description(found, self.specs))
        return found

    # --- columns

    def _column(self, key: str, field: str) -> Column:
        column = self._columns.get(key)
        if column is None:
            there = ", ".join(f"'{each}'" for each in list(self._columns)[:20]) or "none"
            raise InvalidInput(
                {field: f"'{key}' is no column of '{self.found.file}'; its columns are: {there}"}
            )
        return column

    def _split(self) -> NDArray[np.uint8] | None:
        """Take the rows of the parts that are asked for, and return the part of each, where parts are known ones."""
        mapping = self.mapping
        if not mapping.split:
            if mapping.parts:
                raise InvalidInput(parts=f"'{self.found.file}' has no split; leave parts out")
            return None
        column = self._column(mapping.split, "split")
        values = column.values
        labels = column.labels
        names = np.array(labels)[values] if labels is not None else values.astype(np.str_)
        there = sorted(set(names.tolist()), key=lambda each: (_PARTS.get(each.lower(), 3), each))
        for part in mapping.parts:
            if part not in there:
                raise InvalidInput(parts=f"{part!r} is refused; choose one of: {', '.join((ALL, *there))}")
        if mapping.parts:
            self.rows = np.flatnonzero(np.isin(names, mapping.parts))
        known = {part: _PARTS.get(part.lower()) for part in mapping.parts or there}
        if None in known.values() or 0 not in known.values():
            proposed = column.source.lower() in SPLIT_NAMES and (
                labels is not None or values.dtype.kind == "U"
            )
            if not mapping.parts and column.kind != "split" and not proposed:
                said = ", ".join(map(repr, there[:5])) + (", ..." if len(there) > 5 else "")
                raise InvalidInput(
                    split=f"'{column.key}' says {said}, which is no split; one says train, and val or test. Choose the "
                    "parts to take, or another column"
                )
            return None
        numbers = {part: number for part, number in known.items() if number is not None}
        split = np.zeros(len(names), np.uint8)
        for part, number in numbers.items():
            split[names == part] = number
        assert max(numbers.values()) < len(PARTS)
        taken = split[self.rows]
        return taken if len(np.unique(taken)) > 1 else None  # one part alone is no split

    def _units(self) -> NDArray[np.int64]:
        column = self._column(self.mapping.units, "units")
        values = column.values
        if values.dtype.kind in "US":
            values = np.unique(values, return_inverse=True)[1]
        if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.rint(values)).all():
            values = values.astype(np.int64)
        if values.dtype.kind not in "iub":
            raise InvalidInput(
                units=f"'{column.key}' of '{column.where}' is of type {values.dtype}; it is to be one whole number "
                "for each image, the same for those that belong together"
            )
        return values[self.rows].astype(np.int64)

    def _add(self, target: TargetMapping, place: int) -> None:
        """Add a target, as two columns for an angle."""
        column = self._column(target.key, f"targets.{place}.source")
        where = f"targets.{place}"
        if target.kind == "class":
            spec, values = _classes(target, column, where)
            values = values[self.rows]
            counts = np.bincount(values, minlength=spec.classes or 1)
            labels = spec.labels or tuple(map(str, range(len(counts))))
            self._histograms.append(
                Histogram(target=spec.name, kind="class", counts=tuple(counts.tolist()), labels=labels)
            )
            self._keep(spec, values, where)
            return
        numbers = _numbers(target, column, where, self.rows)
        if target.kind == "real":
            spec = TargetSpec(
                name=target.name,
                kind="real",
                min=float(numbers.min()),
                max=float(numbers.max()),
                unit=target.unit,
            )
            told = column.spec
            if told is not None and len(self.rows) == len(column.values) and _same(told, spec):
                spec = told
            self._histograms.append(_histogram(target, numbers, None))
            self._keep(spec, numbers, where)
            return
        period = target.period or column.period
        if period is None:
            raise InvalidInput(
                {
                    f"{where}.period": f"'{target.name}' is circular; say the period after which it is the same, "
                    "such as 360"
                }
            )
        angle = numbers.astype(np.float64) * (2 * math.pi / period)
        self._histograms.append(_histogram(target, numbers % np.float32(period), period))
        for ending, values in (("sin", np.sin(angle)), ("cos", np.cos(angle))):
            spec = TargetSpec(name=f"{target.name}_{ending}"[:80], kind="real", min=-1.0, max=1.0)
            self._keep(spec, values.astype(np.float32), where)

    def _keep(self, spec: TargetSpec, values: NDArray[Any], where: str) -> None:
        if spec.name in self.targets:
            raise InvalidInput(
                {
                    f"{where}.name": f"'{self.found.file}' has two targets called '{spec.name}'; give one another name"
                }
            )
        self.specs.append(spec)
        self.targets[spec.name] = values

    # --- what is told

    def histograms(self) -> tuple[Histogram, ...]:
        return tuple(self._histograms)

    def caption(self, place: int) -> str:
        """Return what the targets say of an image, by its place among those that are taken."""
        words = []
        for spec in self.specs[:4]:
            value = self.targets[spec.name][place]
            shown = (
                spec.labels[value] if spec.labels else f"{value:.4g}" if spec.kind == "real" else str(value)
            )
            words.append(f"{spec.name} {shown}")
        return ", ".join(words)

    def provenance(self) -> dict[str, Any]:
        """Return how the source was understood, the mapping with it; call it once all images were read."""
        found, mapping = self.found, self.mapping
        told: dict[str, Any] = {"importer": found.format, "file": found.file}
        told |= {"labels": found.labels} if found.labels else {}
        told |= {"layout": found.layout} if found.layout else {}
        told |= {"part": ",".join(mapping.parts) or ALL} if mapping.split else {}
        told |= {"ids": [mapping.id]} if mapping.id else {}
        return told | {"scale": mapping.scale, "pixels": self._scale.words, "mapping": mapping.plain()}


def _decided(found: Opened, mapping: ImportMapping) -> ImportMapping:
    """Return a mapping that leaves nothing open; raises InvalidInput for what has to be decided."""
    steps = mapping.steps
    sizes = len(found.sizes) > 1 and steps.resize is None and steps.crop is None
    if mapping.images and mapping.scale and not found.undecided and not sizes:
        return mapping
    source = describe(found)
    check_decided(source, mapping)
    if mapping.scale:
        return mapping
    clear = with_images(source, mapping, mapping.images).scale
    return mapping.model_copy(update={"scale": clear})


def _images(found: Opened, mapping: ImportMapping) -> Lazy:
    """Return the array of images; raises InvalidInput (images, channels, flat) for one that does not fit."""
    lazy = found.arrays.get(mapping.images)
    if lazy is None:
        there = ", ".join(f"'{name}' {each.shape}" for name, each in found.arrays.items())
        raise InvalidInput(
            images=f"{mapping.images!r} is no array of images in '{found.file}'; there are: {there}"
        )
    if mapping.flat is not None:
        if len(lazy.shape) != 2 or math.prod(mapping.flat) != lazy.shape[1]:
            raise InvalidInput(
                flat=f"{' x '.join(map(str, mapping.flat))} does not fit '{lazy.name}' of shape {lazy.shape}; "
                "the product of channels, height and width must be the length of a row"
            )
        return unflattened(lazy, mapping.flat)
    if len(lazy.shape) == 2:
        raise InvalidInput(
            flat=f"'{lazy.name}' holds images as rows of {lazy.shape[1]} numbers; say channels, height and width"
        )
    axes = {"none": 3, "first": 4, "last": 4}[mapping.channels]
    if len(lazy.shape) != axes:
        raise InvalidInput(
            channels=f"{mapping.channels!r} does not fit '{lazy.name}' of shape {lazy.shape}; choose "
            f"{channels_of(lazy.shape)}"
        )
    return lazy


def _axes(shape: Sequence[int], channels: str) -> tuple[int, int, int]:
    if channels == "none":
        return 1, shape[0], shape[1]
    return (shape[2], shape[0], shape[1]) if channels == "last" else (shape[0], shape[1], shape[2])


def _shape_after(steps: Steps, channels: int, height: int, width: int) -> tuple[int, int, int]:
    if steps.transpose:
        height, width = width, height
    if steps.background and channels == 4:
        channels = 3
    if steps.grey:
        channels = 1
    height, width = steps.crop or (height, width)
    height, width = steps.resize or (height, width)
    return channels, height, width


def _with_grid(found: Opened, mapping: ImportMapping, n: int) -> list[Column]:
    """Return the columns there are, with those of the grid that the mapping tells."""
    if not mapping.grid:
        return [column for column in found.columns if column.source != "grid"]
    product = math.prod(factor.size for factor in mapping.grid)
    if product != n:
        sizes = " x ".join(str(factor.size) for factor in mapping.grid)
        raise InvalidInput(grid=f"{sizes} is a grid of {product:,}, and '{found.file}' has {n:,} images")
    known = {column.name: column for column in found.columns if column.source == "grid"}
    told = [column for column in found.columns if column.source != "grid"]
    for place, (name, values) in enumerate(grid_columns(mapping.grid).items()):
        labels = known[name].labels if name in known else None
        told.append(Column("grid", place, values, "the order of the images", name, labels))
    return told


def _classes(target: TargetMapping, column: Column, where: str) -> tuple[TargetSpec, NDArray[np.int64]]:
    """Return a column as classes: whole numbers from 0 as they are, other values by their order."""
    values, labels = column.values, target.labels or column.labels
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        wrong = int(np.flatnonzero(~np.isfinite(values))[0])
        raise refuse(
            column.where,
            f"has target '{column.key}' {values[wrong]} at sample {wrong}; need a class for each",
        )
    if values.dtype.kind == "b" or (labels is not None and _whole(values)):
        values = values.astype(np.int64)
    natural = values.dtype.kind in "iu" and (
        not len(values) or (values.min() >= 0 and values.max() < MAX_CLASSES)
    )
    if not natural:
        there, values = np.unique(values, return_inverse=True)
        labels = target.labels or _texts(there.tolist())
    classes = int(values.max()) + 1
    if classes > MAX_CLASSES:
        raise InvalidInput({f"{where}.kind": f"'{column.key}' has {classes:,} different values; choose real"})
    if target.labels is not None and len(target.labels) < classes:
        raise InvalidInput(
            {
                f"{where}.labels": f"{len(target.labels)} labels name {classes} classes of '{column.key}'; "
                "give one for each"
            }
        )
    fitting = labels is not None and len(labels) >= classes
    twice = [label for label, count in Counter(labels or ()).items() if count > 1]
    if fitting and twice:
        raise InvalidInput(
            {
                f"{where}.labels": f"{twice[0]!r} names two classes of '{column.key}'; give each a label of its own "
                "in the mapping, or leave the column out"
            }
        )
    spec = TargetSpec(
        name=target.name,
        kind="class",
        classes=len(labels) if labels is not None and fitting else classes,
        labels=labels if fitting else None,
        unit=target.unit,
    )
    if column.spec is not None and _same(column.spec, spec):
        spec = column.spec
    return spec, values.astype(np.int64)


def _whole(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f" and bool((values == np.rint(values)).all())


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    """Return values as labels; numbers in full where they would read alike."""
    found = tuple(map(_text, values))
    return found if len(set(found)) == len(found) else tuple(map(repr, values))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else f"{value:.6g}"
    return str(value)


def _same(told: TargetSpec, made: TargetSpec) -> bool:
    """Return whether a description tells what one that was made anew does; it may tell more."""
    classes = told.kind == "real" or (
        told.labels == made.labels and (told.classes or 0) >= (made.classes or 0)
    )
    return (told.name, told.kind, told.unit) == (made.name, made.kind, made.unit) and classes


def _numbers(
    target: TargetMapping, column: Column, where: str, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    values = column.values[rows]
    if column.labels is not None or values.dtype.kind not in "biuf":
        raise InvalidInput(
            {
                f"{where}.kind": f"'{target.kind}' does not fit '{column.key}' of '{column.where}', which is "
                "no numbers; choose class"
            }
        )
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise refuse(
            column.where,
            f"has target '{column.key}' {values[wrong[0]]} at sample {rows[wrong[0]]}; need finite float32 numbers, "
            "or leave it out",
        )
    return numbers


def _histogram(target: TargetMapping, values: NDArray[np.float32], period: float | None) -> Histogram:
    span = (0.0, float(period)) if period is not None else None
    counts, edges = np.histogram(values.astype(np.float64), BINS, span)
    return Histogram(
        target=target.name,
        kind=target.kind,
        counts=tuple(counts.tolist()),
        edges=tuple(edges.tolist()),
    )


def _laid_on(images: NDArray[Any], background: str) -> NDArray[Any]:
    """Return images with their fourth channel, how opaque they are, laid on black or white."""
    top = 255.0 if images.dtype == np.uint8 else 1.0
    alpha = images[:, 3:].astype(np.float32) / top
    below = 0.0 if background == "black" else top
    mixed = images[:, :3] * alpha + below * (1 - alpha)
    if images.dtype == np.uint8:
        mixed = np.rint(mixed)
    return np.asarray(mixed, images.dtype)


def _grey(images: NDArray[Any]) -> NDArray[Any]:
    if images.shape[1] < 3:
        return images[:, :1]
    weights = np.array(GREY_WEIGHTS, np.float32)
    mixed = np.tensordot(images[:, :3], weights, axes=(1, 0))[:, None]
    if images.dtype == np.uint8:
        return np.rint(mixed).astype(np.uint8)
    return mixed.astype(np.float32).clip(0, 1)


def _resized(images: NDArray[Any], sides: tuple[int, int]) -> NDArray[Any]:
    if images.shape[2:] == sides:
        return images
    height, width = sides
    found = np.empty((*images.shape[:2], height, width), images.dtype)
    for image, out in zip(images, found, strict=True):
        for channel, place in zip(image, out, strict=True):
            picture = Image.fromarray(np.ascontiguousarray(channel))
            place[...] = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
    return found.clip(0, 1) if images.dtype == np.float32 else found
