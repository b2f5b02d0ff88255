"""WebDataset: tar archives in which the files of one sample share a name up to its first dot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from acc.data.importers import columns, pictures
from acc.data.importers.file_sets import FileSet
from acc.data.importers.found import Opened
from acc.data.importers.limits import refuse
from acc.data.importers.mapping import Background, PassedOver
from acc.errors import InvalidInput

BESIDE = {"cls", "cls2", "json", "txt", "caption", "text", "id", "index"}
MAX_FIELDS = 1_000


def parts_of(name: str) -> tuple[str, str]:
    """Return the sample that a file belongs to, and which of its files it is."""
    path = PurePosixPath(name)
    stem, _, kind = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, kind.lower()


def is_one(files: FileSet) -> bool:
    """Return whether the files of a set are samples: pictures with files of the same names beside them."""
    seen: dict[str, set[str]] = {}
    for name in files.all[:200]:
        stem, kind = parts_of(name)
        seen.setdefault(stem, set()).add(kind)
    return any(
        kinds & BESIDE and any(pictures.is_picture(f"x.{kind}") for kind in kinds) for kinds in seen.values()
    )


def read(shards: Sequence[tuple[str, FileSet]], opened: Opened, background: Background) -> None:
    """Add pictures and columns of one or more archives, in the order of their samples; raises InvalidInput (file)."""
    file = opened.file
    samples: list[tuple[FileSet, dict[str, str]]] = []
    for _, files in shards:
        there: dict[str, dict[str, str]] = {}
        for name in files.all:
            stem, kind = parts_of(name)
            if kind:
                there.setdefault(stem, {})[kind] = name
        samples += [(files, kinds) for kinds in there.values()]
    kinds = sorted({kind for _, sample in samples for kind in sample})
    shown = [kind for kind in kinds if pictures.is_picture(f"x.{kind}")]
    whole = [kind for kind in shown if all(kind in sample for _, sample in samples)]
    if len(whole) != 1 and not all(sum(kind in sample for kind in shown) == 1 for _, sample in samples):
        raise refuse(
            file,
            f"holds samples of {', '.join(kinds[:20])}; each is to have one picture, and all of the same kind",
        )
    names = [
        sample[whole[0]] if whole else next(sample[k] for k in shown if k in sample) for _, sample in samples
    ]
    listed = pictures.Pictures(
        len(names), lambda n: (names[n], samples[n][0].read(names[n])), lambda n: names[n], file, background
    )
    opened.format, opened.layout = "tar", "WebDataset"
    lazy, opened.sizes, opened.modes = listed.lazy("pictures", file)
    opened.arrays["pictures"] = lazy
    for kind in kinds:
        if kind in shown:
            continue
        if kind not in BESIDE:
            opened.passed_over.append(PassedOver(name=f".{kind}", why="is no kind of file that is read"))
        elif not all(kind in sample for _, sample in samples):
            opened.passed_over.append(PassedOver(name=f".{kind}", why="not every sample has one"))
        elif kind == "json":
            _fields([files.read(sample[kind]) for files, sample in samples], names, opened)
        else:
            texts = [
                files.read(sample[kind]).decode("utf-8", "backslashreplace").strip()
                for files, sample in samples
            ]
            _add(kind, texts, opened)


def _fields(told: Sequence[bytes], names: Sequence[str], opened: Opened) -> None:
    """Add a column for each field that every sample has and that is a number, a truth value or a text."""
    rows: list[dict[str, Any]] = []
    for data, name in zip(told, names, strict=True):
        try:
            row = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise refuse(opened.file, f"has beside '{name}' a .json that is none: {error}") from error
        rows.append(row if isinstance(row, dict) else {})
    fields = list(dict.fromkeys(field for row in rows for field in row))[:MAX_FIELDS]
    for field in fields:
        values = [row.get(field) for row in rows]
        if all(isinstance(value, bool | int | float | str) for value in values):
            _add(f"json.{field}", [str(value) for value in values], opened, called=field)
        else:
            why = "not every sample has a number or a text there"
            opened.passed_over.append(PassedOver(name=f"json.{field}", why=why))


def _add(source: str, texts: Sequence[str], opened: Opened, *, called: str = "") -> None:
    name = "label" if source == "cls" else called
    if len(set(texts)) > columns.MAX_LABELS and not _number(texts[0]):
        opened.passed_over.append(PassedOver(name=source, why=f"has {len(set(texts)):,} different texts"))
        return
    try:
        values, labels = columns.column_of(texts, source, opened.file)
    except InvalidInput as error:
        opened.refuse_columns({source: error.fields["file"][0]})
        return
    opened.add(source, np.asarray(values), opened.file, labels=labels, name=name)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
