"""A mapping as options of a command: what they change of what is proposed, and the options that say a mapping."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acc.data.importers.mapping import ColumnFound, ImportMapping, Source
from acc.errors import InvalidInput
from acc.names import listed
from accsite.apps.datasets.mapping_form import kind_of, sides_of, sides_words

NONE = "none"
SKIP = "-"
"""A column of an array that is no target, among the names of its others."""


@dataclass(frozen=True)
class Options:
    """What was said on a command line; None: nothing, so that the mapping stays as it is.

    targets: ``digit,slant``, or ``ARRAY:NAME,NAME`` for the columns of one array, ``-`` for one that is none. kind,
    measure, labels: ``NAME=VALUE`` of targets. drop: columns that are left out. id, split, units: a column, or ``none``.
    """

    images: str | None = None
    channels: str | None = None
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


def applied(options: Options, mapping: ImportMapping, source: Source) -> ImportMapping:
    """Return ``mapping`` with what was said changed in it; raises InvalidInput naming the option."""
    wanted: dict[str, Any] = mapping.model_dump()
    for field in ("images", "channels", "scale", "pixels"):
        if getattr(options, field) is not None:
            wanted[field] = getattr(options, field)
    if options.parts is not None:
        wanted["parts"] = [] if options.parts in ("", "all", NONE) else listed(options.parts)
    if options.grid is not None:
        wanted["grid"] = [_factor(part) for part in listed(options.grid)]
    if options.targets is not None:
        wanted["targets"] = _targets(options.targets, mapping, source)
    for role in ("id", "split", "units"):
        said = getattr(options, role)
        if said is not None:
            wanted[role] = "" if said == NONE else _column(said, source, role).key
    dropped = {_column(said, source, "drop").key for text in options.drop or () for said in listed(text)}
    roles = {role: wanted[role] for role in ("id", "split", "units") if wanted[role] not in dropped}
    wanted |= {"id": "", "split": "", "units": "", **roles}
    gone = dropped | set(roles.values()) - {mapping.id, mapping.split, mapping.units}
    wanted["targets"] = [target for target in wanted["targets"] if _key(target) not in gone]
    used = {_key(target) for target in wanted["targets"]} | set(roles.values())
    left = [
        *mapping.left_out,
        *(column.key for column in source.columns if column.key not in mapping.left_out),
    ]
    wanted["left_out"] = [key for key in left if key not in used]
    for text in options.kind or ():
        target, value = _of_target(text, wanted["targets"], "kind")
        kind, _, period = value.partition(":")
        target |= {"kind": kind, "period": period or (target["period"] if kind == "circular" else None)}
        if kind != "class":
            target["labels"] = None
    for text in options.measure or ():
        target, target["unit"] = _of_target(text, wanted["targets"], "measure")
    steps = wanted["steps"]
    for field in ("crop", "resize"):
        said = getattr(options, field)
        if said is not None:
            errors: dict[str, list[str]] = {}
            steps[field] = None if said == NONE else sides_of(said, field, errors)
            if errors:
                raise InvalidInput({field: errors[f"steps.{field}"]})
    if options.grey is not None:
        steps["grey"] = options.grey
    return ImportMapping.parse(wanted)


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


def spelled(mapping: ImportMapping, source: Source) -> list[str]:
    """Return the options that make ``mapping`` of whatever is proposed for ``source``."""
    words = ["--images", mapping.images]
    if source.image_arrays:
        words += ["--channels", mapping.channels]
    words += ["--scale", mapping.scale] if mapping.scale else []
    words += ["--pixels", mapping.pixels] if mapping.pixels != "uint8" else []
    for text in _spelled_targets(mapping, source) or [NONE]:
        words += ["--targets", text]
    for target in mapping.targets:
        found = source.column(target.key)
        period = f":{target.period:.17g}" if target.period is not None else ""
        if found is None or target.kind != kind_of(found) or period:
            words += ["--kind", f"{target.name}={target.kind}{period}"]
        if found is None or target.unit != found.unit:
            words += ["--measure", f"{target.name}={target.unit}"]
    for role in ("id", "split", "units"):
        words += [f"--{role}", getattr(mapping, role)] if getattr(mapping, role) else []
    words += ["--parts", _joined(mapping.parts)] if mapping.parts else []
    if mapping.grid:
        words += ["--grid", _joined(f"{factor.name}:{factor.size}" for factor in mapping.grid)]
    for field in ("crop", "resize"):
        sides = getattr(mapping.steps, field)
        words += [f"--{field}", sides_words(sides).replace(" ", "")] if sides else []
    return [*words, "--grey"] if mapping.steps.grey else words


def _spelled_targets(mapping: ImportMapping, source: Source) -> list[str]:
    """Return one text for each run of targets of one array, and one for each of the others."""
    texts: list[str] = []
    done: set[str] = set()
    for target in mapping.targets:
        if target.index is None:
            texts.append(f"{target.source}:{_joined([target.name])}")
        elif target.source not in done:
            done.add(target.source)
            named = {each.index: each.name for each in mapping.targets if each.source == target.source}
            last = max(index for index in named if index is not None)
            texts.append(f"{target.source}:{_joined(named.get(index, SKIP) for index in range(last + 1))}")
    return texts


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
            plain = {
                "source": column.source,
                "index": column.index,
                "kind": kind_of(column),
                "labels": column.labels if kind_of(column) == "class" else None,
                "unit": column.unit,
                "period": None,
            }
            found.append({**plain, **before.get(column.key, {}), "name": name})
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
