"""Looks at a source, proposes what is to become of it, and says what has to be decided first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.dataset import UNITS
from acc.data.importers import scale
from acc.data.importers.assembling import (
    LABEL_NAMES,
    channels_of,
    flat_shape,
    is_flat,
    is_images,
    known_images,
)
from acc.data.importers.found import Column, Lazy, Opened
from acc.data.importers.limits import MIN_SIDE, refuse
from acc.data.importers.mapping import (
    ArrayFound,
    ColumnFound,
    ColumnKind,
    ImportMapping,
    Question,
    Source,
    SplitFound,
    Steps,
    TargetMapping,
)
from acc.data.importers.opening import Limits, opened
from acc.errors import InvalidInput
from acc.names import MAX_NAME, clean_name

MAX_CLASSES = 100_000
LEAST_IDS = 3
"""Fewer rows that all differ may well be one of each class."""
EXAMPLES = 5
MAX_PARTS = 5
SPLIT_NAMES = {"split", "partition", "subset"}


def look(path: Path, *, labels: Path | None = None, limits: Limits) -> Source:
    """Return what is in a file or folder, without unpickling or keeping anything.

    labels: a second file with the targets (IDX, ``.npy`` or a table). Raises InvalidInput (file, labels) for what
    cannot be read at all.
    """
    with opened(path, labels, limits) as found:
        return describe(found)


def describe(found: Opened) -> Source:
    """Return what is told of a source that is open."""
    chosen = known_images(found.arrays)
    rows = len(found.arrays[chosen] if chosen else next(iter(found.arrays.values())))
    told: list[ColumnFound] = []
    for column in found.columns:
        told.append(_column(column, told, found.columns))
    splits = [
        SplitFound(column=column.key, parts=_counts(column))
        for column, described in zip(found.columns, told, strict=True)
        if described.kind == "split"
    ]
    return Source(
        file=found.file,
        labels=found.labels,
        format=found.format,
        layout=found.layout,
        rows=rows,
        arrays=tuple(_array(lazy, found.file) for lazy in found.arrays.values()),
        columns=tuple(told),
        folders=found.folders,
        splits=tuple(splits),
        sizes=found.sizes,
        modes=found.modes,
        passed_over=tuple(found.passed_over),
        grid=found.grid,
        transposed=found.transposed,
        notes=tuple(found.notes),
        table=found.table,
        undecided=tuple(found.undecided),
    )


def _array(lazy: Lazy, file: str) -> ArrayFound:
    counted = scale.Counted(lazy.dtype, file)
    parts, sampled = _sampled(lazy)
    for part in parts:
        counted(part)
    values = counted.values
    return ArrayFound(
        name=lazy.name,
        where=lazy.where,
        shape=lazy.shape,
        dtype=str(lazy.dtype),
        role="images" if is_images(lazy) or is_flat(lazy) else "other",
        least=values.least,
        greatest=values.greatest,
        distinct=values.distinct,
        whole=values.whole,
        sampled=sampled,
        first=tuple(float(each) for each in parts[0].reshape(-1)[:8]),
    )


def _sampled(lazy: Lazy) -> tuple[Sequence[NDArray[Any]], bool]:
    """Return a sample of an array; of pictures in files, which take their time, some hundred."""
    if not lazy.ragged or len(lazy) <= PICTURES_READ:
        return lazy.sample()
    rows = np.unique(np.linspace(0, len(lazy) - 1, PICTURES_READ).astype(np.int64))
    assert lazy.pick is not None
    return [lazy.pick(rows[place : place + 1]) for place in range(len(rows))], True


PICTURES_READ = 200


def _column(column: Column, before: Sequence[ColumnFound], columns_before: Sequence[Column]) -> ColumnFound:
    values = column.values
    number = values.dtype.kind in "biuf"
    distinct, counts = np.unique(
        values[np.isfinite(values)] if values.dtype.kind == "f" else values, return_counts=True
    )
    kind, why = (column.kind, column.why) if column.kind is not None else _guess(column, len(distinct))
    alone = len(distinct) == 1 and counts[0] == len(values) > 1
    if kind in {"class", "real"} and alone and column.spec is None:
        kind, why = "constant", "has the same value in each row"
    if kind == "class" and column.spec is None:
        for other, told in zip(columns_before, before, strict=False):
            if told.kind == "class" and other.values is not values and np.array_equal(other.values, values):
                kind, why = "text", f"is the same as '{told.key}'"
                break
    shown = distinct[np.argsort(-counts, kind="stable")][:EXAMPLES] if kind != "real" else values[:EXAMPLES]
    labels = column.labels
    return ColumnFound(
        source=column.source,
        index=column.index,
        name=_best_name(column),
        where=column.where,
        kind=kind,
        why=why,
        distinct=len(distinct),
        examples=tuple(labels[int(each)] if labels and number else _shown(each) for each in shown.tolist()),
        least=float(distinct[0]) if number and len(distinct) else None,
        greatest=float(distinct[-1]) if number and len(distinct) else None,
        labels=labels,
        unit=column.unit,
        period=column.period,
    )


def _guess(column: Column, distinct: int) -> tuple[ColumnKind, str]:
    """Return what a column most likely is: whole numbers from 0 are classes, others real."""
    values, n, name = column.values, len(column.values), column.source.lower()
    whole, text = values.dtype.kind in "iu", values.dtype.kind in "US"
    classes = bool(whole and values.min() >= 0 and values.max() < MAX_CLASSES)
    kind: ColumnKind = "class" if classes or values.dtype.kind == "b" or column.labels is not None else "real"
    why = ""
    if name == UNITS:
        kind, why = (
            ("unit", "is called units") if whole else ("text", "is called units and holds no whole numbers")
        )
    elif name in SPLIT_NAMES and (text or column.labels is not None) and 1 < distinct <= MAX_PARTS:
        kind, why = "split", "is called a split"
    elif text:
        kind, why = "text", "is text"
    elif whole and n >= LEAST_IDS and distinct == n and name not in LABEL_NAMES:
        what = "text" if column.labels else "whole number"
        kind, why = "id", f"each of the {n:,} rows has another {what}, so it names the row and is no target"
    return kind, why


def _best_name(column: Column) -> str:
    name = " ".join(column.called.split())
    if len(name) > MAX_NAME:  # a whole question; its ends tell it from others
        half = MAX_NAME // 2
        name = f"{name[: half - 1]}…{name[-half:]}"
    try:
        return clean_name(name)
    except InvalidInput as error:
        raise refuse(column.where, f"has a target called {name!r}: {error.fields['name'][0]}") from error


def _counts(column: Column) -> dict[str, int]:
    values = column.values.tolist()
    labels = column.labels
    named = [labels[each] for each in values] if labels is not None else [str(each) for each in values]
    found = Counter(named)
    order = [*("train", "val", "test"), *sorted(set(found) - {"train", "val", "test"})]
    return {part: found[part] for part in order if part in found}


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:40]


# --- what is proposed


def propose(source: Source) -> ImportMapping:
    """Return what most likely is to become of a source; what is not clear is left empty, and ``asked`` asks it."""
    image = _images(source)
    mapping = ImportMapping(images="")
    if image is not None:
        question = _scale(source, image)
        mapping = ImportMapping(
            images=image.name,
            channels=channels_of(image.shape) or "none",
            flat=flat_shape(image.shape),
            scale="" if question.needed else question.proposed,
            pixels="float32" if source.layout == "ACC" and image.dtype == "float32" else "uint8",
        )
    targets, left_out = [], [each.name for each in source.passed_over if not _must_say(source, each.name)]
    taken: set[str] = set()
    for column in source.columns:
        if column.kind in {"class", "real"} and column.name not in taken:
            taken.add(column.name)
            targets.append(_target(column))
        elif column.kind not in {"id", "split", "unit"}:
            left_out.append(column.key)
    first = {kind: [c.key for c in source.columns if c.kind == kind] for kind in ("id", "split", "unit")}
    return mapping.model_copy(
        update={
            "targets": tuple(targets),
            "id": (first["id"] or [""])[0],
            "split": (first["split"] or [""])[0],
            "units": (first["unit"] or [""])[0],
            "left_out": tuple(
                dict.fromkeys([*left_out, *first["id"][1:], *first["split"][1:], *first["unit"][1:]])
            ),
            "grid": source.grid,
            "steps": Steps(transpose=source.transposed),
        }
    )


def with_images(source: Source, mapping: ImportMapping, name: str) -> ImportMapping:
    """Return a mapping that takes another array for the images, with what is proposed for it."""
    image = source.array(name)
    if image is None or image.role != "images":
        raise InvalidInput(images=_no_array(source, name))
    question = _scale(source, image)
    return mapping.model_copy(
        update={
            "images": name,
            "channels": channels_of(image.shape) or "none",
            "flat": flat_shape(image.shape),
            "scale": "" if question.needed else question.proposed,
        }
    )


def _target(column: ColumnFound) -> TargetMapping:
    real = column.kind == "real"
    return TargetMapping(
        source=column.source,
        index=column.index,
        name=column.name,
        kind="real" if real else "class",
        labels=None if real else column.labels,
        unit=column.unit,
        period=column.period if real else None,
    )


def _must_say(source: Source, name: str) -> bool:
    return any(name in question.choices for question in source.undecided)


def _images(source: Source) -> ArrayFound | None:
    arrays = source.image_arrays
    lazies = {array.name: array for array in arrays}
    chosen = known_images(lazies)
    if not chosen and source.layout in {"smallNORB"}:
        chosen = arrays[0].name
    return lazies.get(chosen)


def _scale(source: Source, image: ArrayFound) -> Question:
    assert image.least is not None
    assert image.greatest is not None
    values = scale.Values(
        np.dtype(image.dtype), image.least, image.greatest, image.distinct, image.whole, sampled=image.sampled
    )
    if source.layout == "ACC":
        scale_of = "0..1" if image.dtype == "float32" else "0..255"
        return Question(field="scale", words="the scale of a dataset of ACC is known", proposed=scale_of)
    return scale.question(values, source.file)


def asked(source: Source, mapping: ImportMapping) -> tuple[Question, ...]:
    """Return what can be decided about a source; ``needed``: what must be, since the mapping does not say it."""
    found: list[Question] = []
    candidates = tuple(array.name for array in source.image_arrays)
    if not mapping.images:
        there = ", ".join(f"{array.name} {array.shape}" for array in source.image_arrays)
        words = f"'{source.file}' holds {there}; name the array of images 'images', or choose one of these"
        found.append(Question(field="images", words=words, choices=candidates, needed=True))
    elif len(candidates) > 1:
        found.append(
            Question(
                field="images", words="which array is the images", choices=candidates, proposed=mapping.images
            )
        )
    image = source.array(mapping.images)
    if image is not None and image.role == "images":
        question = _scale(source, image)
        found.append(question.model_copy(update={"needed": question.needed and not mapping.scale}))
    for question in source.undecided:
        if question.field == "grid":
            found += [] if mapping.grid else [question]
            continue
        done = set(question.choices) & {*mapping.left_out, *(target.key for target in mapping.targets)}
        if not done:
            found.append(question)
    for split in source.splits:
        said = ", ".join(f"{part} {count:,}" for part, count in split.parts.items())
        if split.column == mapping.split:
            words = f"a split comes with the images: {said}"
            found.append(Question(field="parts", words=words, choices=("all", *split.parts), proposed="all"))
    if len(source.sizes) > 1 and mapping.steps.resize is None and mapping.steps.crop is None:
        sizes = ", ".join(f"{size.height} x {size.width} ({size.count})" for size in source.sizes[:5])
        proposed = _common_size(source)
        found.append(
            Question(
                field="steps.resize",
                words=f"'{source.file}' has images of different sizes, height x width: {sizes}; say to which they are "
                f"scaled, such as {proposed}",
                choices=(proposed,),
                proposed=proposed,
                needed=True,
            )
        )
    return tuple(found)


def _common_size(source: Source) -> str:
    least = min(min(size.height, size.width) for size in source.sizes)
    return str(max(MIN_SIDE, min(64, least)))


def needed(source: Source, mapping: ImportMapping) -> dict[str, list[str]]:
    """Return what must be decided before a source is read, as field -> sentences."""
    return {each.field: [each.words] for each in asked(source, mapping) if each.needed}


def check_decided(source: Source, mapping: ImportMapping) -> None:
    """Raise InvalidInput naming each field of the mapping that must be decided before the source is read."""
    fields = needed(source, mapping)
    if fields:
        raise InvalidInput(fields)


def _no_array(source: Source, name: str) -> str:
    there = ", ".join(f"'{array.name}'" for array in source.image_arrays)
    return f"{name!r} is no array of images in '{source.file}'; there are: {there}"
