"""What a set of picture files is: which are pictures, what their folders mean, and where their targets are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.importers import columns, pictures
from acc.data.importers.file_sets import FileSet
from acc.data.importers.found import Column, Opened
from acc.data.importers.layouts import PARTS
from acc.data.importers.limits import refuse
from acc.data.importers.mapping import Background, FolderFound, PassedOver

CELEBA_ATTRIBUTES = "list_attr_celeba"
CELEBA_PARTITION = "list_eval_partition"
CELEBA_IDENTITY = "identity_celeba"
CELEBA_LANDMARKS = "list_landmarks_align_celeba"
_CELEBA_PARTS = ("train", "val", "test")
_CELEBA_LISTS = ("list_", "identity_celeba")
MAX_FOLDERS = 1_000


def read(files: FileSet, given: Path | None, opened: Opened, background: Background) -> None:
    """Add the pictures among files and their columns to what was opened.

    A table, given or the only one among them, tells columns. Known layouts are known: CelebA (its list of attributes,
    its partition), folders of a split (``train``, ``val``, ``test``), a folder for each class. Raises InvalidInput
    (file).
    """
    file = opened.file
    lists = {PurePosixPath(name).stem.lower(): name for name in files.tables if _of_celeba(name)}
    tables = [name for name in files.tables if name not in lists.values() and columns.is_table(name)]
    others = [name for name in files.names if name not in files.tables]
    strange = next((name for name in others if not pictures.is_picture(name)), None)
    if strange is not None:
        known = ", ".join(sorted(pictures.FORMATS))
        raise refuse(file, f"holds '{strange}' among the images; they end in {known}")
    names = sorted(others, key=columns.natural)
    if not names:
        raise refuse(file, "holds no image; at least one is needed")
    base = _common_folder([*names, *tables])
    inner = {name: name[len(base) :] for name in names}
    opened.format = "images"
    lazy, opened.sizes, opened.modes = (
        pictures.in_files(names, files.read, file).on(background).lazy("pictures", base.rstrip("/") or file)
    )
    opened.arrays["pictures"] = lazy
    opened.folders = _folders(inner.values())
    if given is None and CELEBA_ATTRIBUTES in lists:
        _celeba(files, names, lists, opened)
        return
    below = _split(inner, opened)
    if given is not None or tables:
        if given is None and len(tables) > 1:
            raise refuse(
                file, f"holds the tables {', '.join(tables[:5])}; one of them is to tell the targets"
            )
        _by_table(files, inner, given or tables[0], opened)
        return
    _by_folder(below, opened)


def _of_celeba(name: str) -> bool:
    return PurePosixPath(name).name.lower().startswith(_CELEBA_LISTS)


def _folders(paths: Any) -> tuple[FolderFound, ...]:
    counts = Counter(path.rpartition("/")[0] for path in paths)
    found = sorted(counts.items(), key=lambda item: columns.natural(item[0]))
    return tuple(FolderFound(name=name, files=count) for name, count in found[:MAX_FOLDERS] if name)


def _celeba(files: FileSet, names: Sequence[str], lists: dict[str, str], opened: Opened) -> None:
    """Add the columns of CelebA (Liu et al. 2015): attributes, partition, identities and landmarks."""
    table = lists[CELEBA_ATTRIBUTES]
    opened.layout, opened.table = "CelebA", table
    opened.notes.append(f"CelebA: targets from '{table}', and no folder is a class")
    known = {CELEBA_ATTRIBUTES, CELEBA_PARTITION, CELEBA_IDENTITY, CELEBA_LANDMARKS}
    for stem, name in sorted(lists.items()):
        if stem not in known:
            opened.passed_over.append(PassedOver(name=name, why="tells nothing of the aligned pictures"))
    partition = lists.get(CELEBA_PARTITION)
    if partition is not None:
        numbers = next(iter(_listed(files, partition, names).values()))
        strange = np.setdiff1d(numbers, np.arange(3))
        if len(strange):
            raise refuse(partition, f"says {strange[0]}; the parts are 0 (train), 1 (val) and 2 (test)")
        opened.add("split", np.array(_CELEBA_PARTS)[numbers], partition, kind="split")
    for name, column in _listed(files, table, names).items():
        if not set(np.unique(column).tolist()) <= {-1, 0, 1}:
            raise refuse(table, f"has values of '{name}' beside -1 and 1; attributes are one or the other")
        opened.add(name, (column > 0).astype(np.int64), table, labels=("no", "yes"), kind="class")
    if CELEBA_LANDMARKS in lists:
        where = lists[CELEBA_LANDMARKS]
        for name, column in _listed(files, where, names).items():
            opened.add(name, column, where, kind="real", unit="px")
    if CELEBA_IDENTITY in lists:
        where = lists[CELEBA_IDENTITY]
        identity = next(iter(_listed(files, where, names).values()))
        opened.add("identity", identity, where, kind="unit", why="pictures of one person belong together")


def _listed(files: FileSet, name: str, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    return dict(columns.of_images(columns.listed(files.read(name), name), names, name, others=True))


def _split(inner: dict[str, str], opened: Opened) -> list[str]:
    """Add the split that folders tell, and return the paths below them."""
    tops = {path.split("/", 1)[0] for path in inner.values() if "/" in path}
    split = all("/" in path for path in inner.values()) and all(top.lower() in PARTS for top in tops)
    if not split or not tops:
        return list(inner.values())
    said = ", ".join(f"'{top}'" for top in sorted(tops))
    opened.layout = "folders of a split"
    opened.notes.append(f"the folders {said} are a split, not classes")
    parts = [PARTS[path.split("/", 1)[0].lower()] for path in inner.values()]
    opened.add("split", np.array(parts), opened.file, kind="split")
    return [path.split("/", 1)[1] for path in inner.values()]


def _by_table(files: FileSet, inner: dict[str, str], table: Path | str, opened: Opened) -> None:
    name = table if isinstance(table, str) else table.name
    try:
        data = files.read(table) if isinstance(table, str) else table.read_bytes()
    except OSError as error:
        raise refuse(name, f"cannot be read: {error.strerror or error}") from error
    found = columns.listed(data, name) if _of_celeba(name) else columns.read(data, name, by_file=True)
    opened.table = name
    opened.notes.append(f"targets from the table '{name}', and no folder is a class")
    opened.refuse_columns(found.refused)
    told = columns.of_images(found, list(inner.values()), name, others=opened.layout != "")
    for column, values in told.items():
        opened.add(column, values, name, labels=found.labels.get(column))


def _by_folder(paths: Sequence[str], opened: Opened) -> None:
    """Add the classes that folders are, and whether they are likely to be any."""
    folders = [path.split("/", 1)[0] if "/" in path else "" for path in paths]
    there = sorted(set(folders) - {""}, key=columns.natural)
    if not there and opened.layout:  # of a split of pictures alone, whose own names may be meant after all
        there = sorted(set(opened.columns[0].values.tolist()))
        folders = opened.columns[0].values.tolist()
        values, labels = columns.classes_of(folders, "folder", opened.file)
        opened.columns.append(
            Column("folder", None, values, opened.file, "label", labels, "text", "the folders are a split")
        )
        return
    if not there:
        opened.notes.append("pictures in one folder: no target")
        return
    shown = ", ".join(f"'{folder}'" for folder in there[:8]) + (", ..." if len(there) > 8 else "")
    several = len(there) > 1 and (len(there) < len(paths) or len(paths) <= 2)
    if "" in folders:
        stray = paths[folders.index("")]
        opened.leave(
            "folder",
            f"'{opened.file}' has '{stray}' beside the folders of classes; put it into one of them",
        )
        return
    if several:
        deep = " at the first level" if any(path.count("/") > 1 for path in paths) else ""
        opened.layout = opened.layout or "folders of classes"
        opened.notes.append(
            f"a folder for each of {len(there)} classes{deep}: {shown} (leave 'folder' out for no target)"
        )
        why = ""
    elif len(there) == 1:
        why = f"one folder alone ({shown}) is not taken for a class"
    else:
        why = f"the folders {shown} are not taken for classes (each holds one picture)"
    if why:
        opened.notes.append(f"{why}: no target")
    values, labels = columns.classes_of(folders, "folder", opened.file)
    opened.columns.append(
        Column("folder", None, values, opened.file, "label", labels, "text" if why else "class", why)
    )


def _common_folder(names: Sequence[str]) -> str:
    """Return the folders that all lie in, with ``/``, as long as there is one alone that holds folders or a table."""
    base = ""
    while True:
        rest = [name[len(base) :] for name in names]
        first = rest[0].split("/", 1)[0]
        alone = all(name.startswith(f"{first}/") for name in rest)
        deep = any("/" in name[len(first) + 1 :] or columns.is_table(name) for name in rest)
        if not (alone and deep) or first.lower() in PARTS:
            return base
        base += f"{first}/"
