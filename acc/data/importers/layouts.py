"""What a set of picture files is: which are pictures, what their folders mean, and where their targets are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from acc.data.importers import columns
from acc.data.importers.file_sets import FileSet
from acc.data.importers.limits import refuse
from acc.data.importers.looks import Look, Question

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Names of folders that are a split, not classes."""
ALL = "all"
CELEBA_ATTRIBUTES = "list_attr_celeba"
CELEBA_PARTITION = "list_eval_partition"
_CELEBA_PARTS = ("train", "val", "test")
_CELEBA_LISTS = ("list_", "identity_celeba")


@dataclass(frozen=True)
class Found:
    """The pictures in their order, with their targets from the file ``table``."""

    names: Sequence[str]
    columns: columns.Columns
    table: str


def find(files: FileSet, given: Path | None, file: str, look: Look) -> Found:
    """Return the pictures among files and their targets; what its folders mean is told to ``look``.

    A table, given or the only one among them, tells the targets. Else known layouts are known: CelebA (its list of
    attributes, its partition), folders of a split (``train``, ``val``, ``test``), a folder for each class; pictures in
    one folder have no targets. Raises InvalidInput (file, part, classes).
    """
    lists = {PurePosixPath(name).stem.lower(): name for name in files.tables if _of_celeba(name)}
    tables = [name for name in files.tables if name not in lists.values() and columns.is_table(name)]
    names = sorted((name for name in files.names if name not in files.tables), key=columns.natural)
    if not names:
        raise refuse(file, "holds no image; at least one is needed")
    base = _common_folder([*names, *tables])
    inner = {name: name[len(base) :] for name in names}
    if given is None and CELEBA_ATTRIBUTES in lists:
        return _celeba(files, names, lists, file, look)
    chosen, folders = _one_part(names, inner, file, look)
    if given is not None or tables:
        if given is None and len(tables) > 1:
            raise refuse(
                file, f"holds the tables {', '.join(tables[:5])}; one of them is to tell the targets"
            )
        return _by_table(files, inner, chosen, given or tables[0], look)
    return Found(chosen, _by_folder(folders, file, look), file)


def _of_celeba(name: str) -> bool:
    return PurePosixPath(name).name.lower().startswith(_CELEBA_LISTS)


def _celeba(files: FileSet, names: Sequence[str], lists: dict[str, str], file: str, look: Look) -> Found:
    """Return CelebA (Liu et al. 2015): its attributes are targets, its partition the split."""
    table = lists[CELEBA_ATTRIBUTES]
    look.found("layout", f"CelebA: targets from '{table}', and no folder is a class", name="celeba")
    look.keep("layout", "CelebA")
    wanted = {CELEBA_ATTRIBUTES, CELEBA_PARTITION}
    left = sorted(name for stem, name in lists.items() if stem not in wanted)
    if left:
        look.found("left out", ", ".join(left))
    partition = lists.get(CELEBA_PARTITION)
    if partition is not None:
        told = columns.listed(files.read(partition), partition)
        ordered = columns.of_images(told, names, partition, others=True)
        numbers = next(iter(ordered.values()))
        strange = np.setdiff1d(numbers, np.arange(3))
        if len(strange):
            raise refuse(partition, f"says {strange[0]}; the parts are 0 (train), 1 (val) and 2 (test)")
        parts = [_CELEBA_PARTS[int(number)] for number in numbers]
        names = _of_part(names, parts, file, look)
    elif look.answers.part:
        _of_part(names, [ALL] * len(names), file, look)
    told = columns.listed(files.read(table), table)
    values = dict(columns.of_images(told, names, table, others=True))
    labels: dict[str, tuple[str, ...]] = {}
    for name, column in values.items():
        if not set(np.unique(column).tolist()) <= {-1, 0, 1}:
            raise refuse(table, f"has values of '{name}' beside -1 and 1; attributes are one or the other")
        values[name] = (column > 0).astype(np.int64)
        labels[name] = ("no", "yes")
    return Found(names, columns.Columns(values, labels), table)


def _one_part(
    names: Sequence[str], inner: dict[str, str], file: str, look: Look
) -> tuple[Sequence[str], list[str]]:
    """Return the names of the part asked for, and of each the path below its split's folder."""
    tops = {path.split("/", 1)[0] for path in inner.values() if "/" in path}
    split = (
        bool(tops) and all("/" in path for path in inner.values()) and all(t.lower() in PARTS for t in tops)
    )
    if split and look.answers.classes == "folders" and all(path.count("/") == 1 for path in inner.values()):
        split = False  # whoever says that folders are classes may well mean these
    if not split:
        if look.answers.part:
            _of_part(names, [ALL] * len(names), file, look)
        return names, [inner[name] for name in names]
    said = ", ".join(f"'{top}'" for top in sorted(tops))
    look.found("layout", f"the folders {said} are a split, not classes", name="split")
    look.keep("layout", "folders of a split")
    chosen = _of_part(names, [PARTS[inner[name].split("/", 1)[0].lower()] for name in names], file, look)
    return chosen, [inner[name].split("/", 1)[1] for name in chosen]


def _of_part(names: Sequence[str], parts: Sequence[str], file: str, look: Look) -> Sequence[str]:
    """Return the names of the part that was answered, all if none was; raises InvalidInput (part)."""
    there = sorted(set(parts), key=[*_CELEBA_PARTS, ALL].index)
    counts = ", ".join(f"{part} {parts.count(part):,}" for part in there)
    if there == [ALL]:
        look.ask(Question("part", "there is no split", (ALL,), ALL))
        if look.answers.part not in ("", ALL):
            raise look.wrong("part", f"'{file}' has no split; leave part out")
        return names
    answer = look.ask(Question("part", f"a split comes with the images: {counts}", (ALL, *there), ALL))
    if answer not in {ALL, *there}:
        raise look.wrong("part", f"{answer!r} is refused; choose one of: {', '.join((ALL, *there))}")
    kept = (
        "all are taken together; ACC draws its own held-out rows"
        if answer == ALL
        else f"only {answer} is taken"
    )
    look.found(
        "split", f"{counts}; {kept} (part={answer})", parts={part: parts.count(part) for part in there}
    )
    look.keep("part", answer)
    return [name for name, part in zip(names, parts, strict=True) if answer in {ALL, part}]


def _by_table(
    files: FileSet, inner: dict[str, str], names: Sequence[str], table: Path | str, look: Look
) -> Found:
    name = table if isinstance(table, str) else table.name
    try:
        data = files.read(table) if isinstance(table, str) else table.read_bytes()
    except OSError as error:
        raise refuse(name, f"cannot be read: {error.strerror or error}") from error
    found = columns.listed(data, name) if _of_celeba(name) else columns.read(data, name, by_file=True)
    look.found("layout", f"targets from the table '{name}', and no folder is a class", name="table")
    values = dict(
        columns.of_images(found, [inner[each] for each in names], name, others=bool(look.answers.part))
    )
    return Found(names, columns.Columns(values, found.labels), name)


def _by_folder(paths: Sequence[str], file: str, look: Look) -> columns.Columns:
    """Return the classes that folders are, where there are several and they do not name single pictures."""
    folders = [path.split("/", 1)[0] if "/" in path else "" for path in paths]
    there = sorted(set(folders) - {""}, key=columns.natural)
    if not there:
        look.found("layout", "pictures in one folder: no target", name="flat")
        return columns.Columns()
    shown = ", ".join(f"'{folder}'" for folder in there[:8]) + (", ..." if len(there) > 8 else "")
    several = len(there) > 1 and (len(there) < len(paths) or len(paths) <= 2)
    proposed = "folders" if several else "none"
    answer = look.ask(
        Question("classes", f"whether the folders {shown} are classes", ("folders", "none"), proposed)
    )
    if "" in folders and look.answers.classes != "none":
        stray = paths[folders.index("")]
        raise refuse(
            file,
            f"has '{stray}' beside the folders of classes; put it into one of them, or say classes=none",
        )
    if answer == "none":
        if not look.answers.classes and len(there) == 1:
            words = f"one folder alone ({shown}) is not taken for a class: no target"
        else:
            why = "as answered" if look.answers.classes else "each holds one picture"
            words = f"the folders {shown} are not taken for classes ({why}): no target"
        look.found("layout", words, name="flat")
        look.keep("classes", "none")
        return columns.Columns()
    deep = " at the first level" if any(path.count("/") > 1 for path in paths) else ""
    look.found(
        "layout",
        f"a folder for each of {len(there)} classes{deep}: {shown} (classes=none for no target)",
        name="classes",
    )
    values, labels = columns.classes_of(folders, "folder", file)
    return columns.Columns({"label": values}, {"label": labels})


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
