"""A mapping as options of a command: what they change of what is proposed, and the options that say a mapping."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acc.data.importers import with_images
from acc.data.importers.mapping import ColumnFound, ImportMapping, Source, TargetMapping
from acc.errors import InvalidInput
from acc.names import listed
from accsite.apps.datasets.mapping_form import (
    GRID,
    as_target,
    flat_of,
    flat_words,
    sides_of,
    sides_words,
    with_grid,
)

NONE = "none"
ROLES = ("id", "split", "units")
SKIP = "-"
"""A column of an array that is no target, among the names of its others."""


@dataclass(frozen=True)
class Options:
    """What was said on a command line; None: nothing, so that the mapping stays as it is.

    targets: ``digit,slant``, or ``ARRAY:NAME,NAME`` for the columns of one array, ``-`` for one that is none. kind,
    measure: ``NAME=VALUE`` of targets. drop: columns, arrays of them, and other members. id, split, units: a column, or
    ``none``.
    """

    images: str | None = None
    channels: str | None = None
    flat: str | None = None
    scale: str | None = None
    pixels: str | None = None
    targets: Sequence[str] | None = None
    kind: Sequence[str] | None = None
    measure: Sequence[str] | None = None
    drop: Sequence[str] | None = None
    id: str | None = None
    split: str | None = None
    parts: str | None = None
    units: str | None = None
    grid: str | None = None
    crop: str | None = None
    resize: str | None = None
    grey: bool | None = None
    transpose: bool | None = None
    background: str | None = None


def applied(options: Options, mapping: ImportMapping, source: Source) -> ImportMapping:
    """Return ``mapping`` with what was said changed in it; raises InvalidInput naming the option."""
    if options.images is not None and options.images != mapping.images:
        mapping = with_images(source, mapping, options.images)
    if options.grid is not None:
        mapping = _on_grid(options.grid, mapping, source)
    source = with_grid(source, mapping.grid)
    wanted: dict[str, Any] = mapping.model_dump()
    for field in ("channels", "scale", "pixels"):
        if getattr(options, field) is not None:
            wanted[field] = getattr(options, field)
    if options.flat is not None:
        errors: dict[str, list[str]] = {}
        wanted["flat"] = None if options.flat == NONE else flat_of(options.flat, errors)
        if errors:
            raise InvalidInput(errors)
    if options.parts is not None:
        wanted["parts"] = [] if options.parts in ("", "all", NONE) else listed(options.parts)
    _put_columns(options, mapping, source, wanted)
    _put_details(options, wanted["targets"])
    _put_steps(options, wanted["steps"])
    return ImportMapping.parse(wanted)


def _on_grid(said: str, mapping: ImportMapping, source: Source) -> ImportMapping:
    """Return a mapping of images in the order of a grid, whose factors are targets."""
    factors = [] if said == NONE else [_factor(part) for part in listed(said)]
    plain = ImportMapping.parse({**mapping.model_dump(), "grid": factors})
    if plain.grid == mapping.grid:
        return mapping
    told = [as_target(each) for each in with_grid(source, plain.grid).columns if each.source == GRID]
    others = [target for target in mapping.targets if target.source != GRID]
    left = tuple(key for key in mapping.left_out if not key.startswith(f"{GRID}["))
    return plain.model_copy(update={"targets": (*others, *told), "left_out": left})


def _put_columns(options: Options, mapping: ImportMapping, source: Source, wanted: dict[str, Any]) -> None:
    """Say in ``wanted`` what each column is used as."""
    if options.targets is not None:
        wanted["targets"] = _targets(options.targets, mapping, source)
    for role in ROLES:
        said = getattr(options, role)
        if said is not None:
            wanted[role] = "" if said == NONE else _column(said, source, role).key
    dropped = [key for text in options.drop or () for said in listed(text) for key in _dropped(said, source)]
    roles = {role: wanted[role] for role in ROLES if wanted[role] and wanted[role] not in dropped}
    wanted |= {**dict.fromkeys(ROLES, ""), **roles}
    gone = {*dropped} | set(roles.values()) - {getattr(mapping, role) for role in ROLES}
    wanted["targets"] = [target for target in wanted["targets"] if _key(target) not in gone]
    used = {_key(target) for target in wanted["targets"]} | set(roles.values())
    left = [*mapping.left_out, *(each.key for each in source.columns), *dropped]
    wanted["left_out"] = [key for key in dict.fromkeys(left) if key not in used]


def _put_details(options: Options, targets: Sequence[dict[str, Any]]) -> None:
    """Say kind and unit of the targets that are named."""
    for text in options.kind or ():
        target, value = _of_target(text, targets, "kind")
        kind, _, period = value.partition(":")
        target |= {"kind": kind, "period": (period or target["period"]) if kind == "circular" else None}
        if kind != "class":
            target["labels"] = None
    for text in options.measure or ():
        target, target["unit"] = _of_target(text, targets, "measure")


def _put_steps(options: Options, steps: dict[str, Any]) -> None:
    """Say what is done to each image."""
    for field in ("crop", "resize"):
        said = getattr(options, field)
        if said is None:
            continue
        errors: dict[str, list[str]] = {}
        steps[field] = None if said == NONE else sides_of(said, field, errors)
        if errors:
            raise InvalidInput({field: errors[f"steps.{field}"]})
    for field in ("grey", "transpose", "background"):
        if getattr(options, field) is not None:
            steps[field] = getattr(options, field)
    steps["background"] = "" if steps["background"] == NONE else steps["background"]


def answered(mapping: ImportMapping, answers: Mapping[str, str]) -> ImportMapping:
    """Return a mapping with what has to be decided said, by its fields, as it is proposed in words."""
    wanted = mapping.model_dump()
    for field, text in answers.items():
        where, _, step = field.partition(".")
        if where == "steps" and step:
            wanted["steps"][step] = sides_of(text, step, {}) if step in ("crop", "resize") else text
        elif where == "grid":
            wanted["grid"] = [_factor(part) for part in listed(text)]
        elif where == "parts":
            wanted["parts"] = listed(text)
        elif where in wanted:
            wanted[where] = text
    return ImportMapping.parse(wanted)


def given(text: str) -> ImportMapping:
    """Return the mapping of ``text``: JSON, or the path of a file of it; raises InvalidInput (mapping)."""
    if not text.lstrip().startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise InvalidInput({"mapping": f"'{text}' cannot be read: {why}"}) from error
    try:
        told = json.loads(text)
    except ValueError as error:
        raise InvalidInput({"mapping": f"is not JSON: {error}"}) from error
    # What --look --json prints holds the mapping beside the rest of what was found.
    return ImportMapping.parse(told.get("mapping", told) if isinstance(told, dict) else told)


def command(mapping: ImportMapping, file: str, labels: str = "") -> str:
    """Return the command that imports a file, and a second one with its targets, by a mapping."""
    beside = ["--labels", labels] if labels else []
    told = json.dumps(mapping.plain(), ensure_ascii=False)
    return shlex.join([".venv/bin/python", "manage.py", "import_dataset", file, *beside, "--mapping", told])


def spelled(mapping: ImportMapping, source: Source, proposed: ImportMapping) -> list[str]:
    """Return the options that make ``mapping`` of what is ``proposed`` for its source."""
    pairs = _pairs(mapping, with_grid(source, mapping.grid), proposed)
    # What begins with - would be taken for an option.
    return [
        word
        for flag, said in pairs
        for word in ([f"{flag}={said}"] if said[:1] == "-" else [flag, said] if said else [flag])
    ]


def _pairs(mapping: ImportMapping, source: Source, proposed: ImportMapping) -> list[tuple[str, str]]:
    pairs = [("--images", mapping.images)]
    if source.image_arrays or mapping.channels != proposed.channels:
        pairs += [("--channels", mapping.channels)]
    if mapping.flat or proposed.flat:
        pairs += [("--flat", flat_words(mapping.flat).replace(" ", "") or NONE)]
    pairs += [("--scale", mapping.scale)] if mapping.scale else []
    pairs += [("--pixels", mapping.pixels)] if mapping.pixels != proposed.pixels else []
    if mapping.targets or proposed.targets or mapping.grid:
        pairs += [("--targets", text) for text in _spelled_targets(mapping, source, proposed) or [NONE]]
    pairs += _spelled_details(mapping, source, proposed)
    for role in ROLES:
        if getattr(mapping, role) or getattr(proposed, role):
            pairs += [(f"--{role}", getattr(mapping, role) or NONE)]
    agreed = {key for each in source.undecided if each.field == "left_out" for key in each.choices}
    dropped = [key for key in mapping.left_out if key in agreed and key not in proposed.left_out]
    pairs += [("--drop", _joined(dropped))] if dropped else []
    if mapping.parts or proposed.parts:
        pairs += [("--parts", _joined(mapping.parts) or NONE)]
    if mapping.grid or proposed.grid:
        pairs += [("--grid", _joined(f"{each.name}:{each.size}" for each in mapping.grid) or NONE)]
    for field in ("crop", "resize"):
        sides, before = getattr(mapping.steps, field), getattr(proposed.steps, field)
        pairs += [(f"--{field}", sides_words(sides).replace(" ", "") or NONE)] if sides or before else []
    if mapping.steps.background != proposed.steps.background:
        pairs += [("--background", mapping.steps.background or NONE)]
    for field in ("grey", "transpose"):
        wanted = getattr(mapping.steps, field)
        pairs += (
            [(f"--{'' if wanted else 'no-'}{field}", "")] if wanted != getattr(proposed.steps, field) else []
        )
    return pairs


def _spelled_details(
    mapping: ImportMapping, source: Source, proposed: ImportMapping
) -> list[tuple[str, str]]:
    """Return the options that say kind and unit of targets where they are others than is proposed."""
    pairs: list[tuple[str, str]] = []
    before = {target.key: target for target in proposed.targets}
    for target in mapping.targets:
        column = source.column(target.key)
        plain = before.get(target.key) or (as_target(column) if column is not None else None)
        if plain is None or (target.kind, target.period) != (plain.kind, plain.period):
            period = f":{target.period:.17g}" if target.period is not None else ""
            pairs += [("--kind", f"{target.name}={target.kind}{period}")]
        if plain is None or target.unit != plain.unit:
            pairs += [("--measure", f"{target.name}={target.unit}")]
    return pairs


def _spelled_targets(mapping: ImportMapping, source: Source, proposed: ImportMapping) -> list[str]:
    """Return the texts of ``--targets``: columns by their keys, and by name what has another than is proposed."""
    plain = {column.key: column.name for column in source.columns}
    plain |= {target.key: target.name for target in proposed.targets}
    runs: list[list[TargetMapping]] = []
    for target in mapping.targets:
        before = runs[-1][-1] if runs else None
        if before is not None and _goes_on(before, target, plain):
            runs[-1].append(target)
        else:
            runs.append([target])
    return [_spelled_run(run, plain) for run in runs]


def _goes_on(before: TargetMapping, target: TargetMapping, plain: Mapping[str, str]) -> bool:
    """Return whether two targets can be said by one text."""
    if target.index is not None:
        return before.source == target.source and before.index is not None and before.index < target.index
    return _is_plain(before, plain) and _is_plain(target, plain)


def _is_plain(target: TargetMapping, plain: Mapping[str, str]) -> bool:
    """Return whether a target is said by its key alone: it has the name that it would have."""
    named = target.index is None and plain.get(target.key) == target.name
    return named and ":" not in target.key and target.key != NONE and target.key.strip() == target.key


def _spelled_run(run: Sequence[TargetMapping], plain: Mapping[str, str]) -> str:
    first = run[0]
    if first.index is not None:
        named = {target.index: target.name for target in run}
        return (
            f"{first.source}:{_joined(named.get(place, SKIP) for place in range((run[-1].index or 0) + 1))}"
        )
    if _is_plain(first, plain):
        return _joined(target.key for target in run)
    return f"{first.source}:{_joined([first.name])}"


def _targets(texts: Sequence[str], mapping: ImportMapping, source: Source) -> list[dict[str, Any]]:
    """Return the targets that are told: their kinds, labels and units as they stand in the mapping, else as found."""
    before = {target.key: target.model_dump() for target in mapping.targets}
    found: list[dict[str, Any]] = []
    for text in texts:
        if text == NONE:
            continue
        array, names = _array_of(text, source)
        if array is None:
            pairs: list[tuple[ColumnFound, str]] = [
                (
                    column := _column(said, source, "targets"),
                    before.get(column.key, {}).get("name") or column.name,
                )
                for said in listed(text)
            ]
        else:
            columns = [column for column in source.columns if column.source == array]
            said = _cells(names)
            if len(said) > len(columns):
                many = f"has {len(columns)} column{'s' if len(columns) != 1 else ''}"
                raise InvalidInput({"targets": f"'{array}' {many}; {len(said)} names are given"})
            pairs = [
                (column, name) for column, name in zip(columns, said, strict=False) if name not in ("", SKIP)
            ]
        for column, name in pairs:
            plain = before.get(column.key) or as_target(column).model_dump()
            found.append({**plain, "name": name})
    return found


def _array_of(text: str, source: Source) -> tuple[str | None, str]:
    """Return the array or column before a colon, the longest that there is, and what stands after it."""
    known = sorted({column.source for column in source.columns}, key=len, reverse=True)
    for name in known:
        if text.startswith(f"{name}:"):
            return name, text[len(name) + 1 :]
    head, colon, _ = text.partition(":")
    if colon and all(column.key not in listed(text) for column in source.columns):
        raise InvalidInput({"targets": f"there is no array or column '{head}'; there are: {_names(source)}"})
    return None, ""


def _cells(text: str) -> list[str]:
    """Return the names of a list with commas, also those that are empty."""
    rows = list(csv.reader(io.StringIO(text), skipinitialspace=True))
    return [cell.strip() for cell in rows[0]] if rows else []


def _joined(names: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(list(names))
    return out.getvalue()


def _column(said: str, source: Source, option: str) -> ColumnFound:
    """Return the column of a key, or of a name; raises InvalidInput (option) listing those that there are."""
    found = source.column(said) or next((each for each in source.columns if each.name == said), None)
    if found is None:
        raise InvalidInput({option: f"there is no column '{said}'; there are: {_names(source)}"})
    return found


def _dropped(said: str, source: Source) -> list[str]:
    """Return what a name leaves out: a column, all columns of an array, or something that was passed over."""
    of_array = [column.key for column in source.columns if column.source == said]
    passed = {passed.name for passed in source.passed_over} | {array.name for array in source.arrays}
    if of_array:
        return of_array
    return [said] if said in passed else [_column(said, source, "drop").key]


def _names(source: Source) -> str:
    there = [f"'{column.key}'" for column in source.columns[:20]]
    return ", ".join(there) + (", ..." if len(source.columns) > 20 else "") or NONE


def _of_target(text: str, targets: Sequence[dict[str, Any]], option: str) -> tuple[dict[str, Any], str]:
    """Return the target of ``NAME=VALUE`` and the value; raises InvalidInput (option)."""
    for target in sorted(targets, key=lambda each: len(each["name"]), reverse=True):
        if text.startswith(f"{target['name']}="):
            return target, text[len(target["name"]) + 1 :]
    known = ", ".join(f"'{target['name']}'" for target in targets) or NONE
    raise InvalidInput({option: f"{text!r} is not NAME=VALUE of a target; targets are: {known}"})


def _factor(text: str) -> dict[str, Any]:
    name, _, size = text.rpartition(":")
    if not name or not size.strip().isdecimal():
        raise InvalidInput(
            {"grid": f"{text!r} is refused; write name:size for each factor, such as shape:3,x:32"}
        )
    return {"name": name, "size": int(size)}


def _key(target: dict[str, Any]) -> str:
    return target["source"] if target["index"] is None else f"{target['source']}[{target['index']}]"
