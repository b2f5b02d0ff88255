"""The form of an import: what each array and column becomes, filled with what is proposed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django import forms

from acc.data.importers import with_images
from acc.data.importers.mapping import (
    ArrayFound,
    ColumnFound,
    GridFactor,
    ImportMapping,
    Source,
    TargetMapping,
)
from acc.errors import InvalidInput
from acc.names import MAX_NAME
from accsite.forms import ServiceForm, choice, number, text
from accsite.names import MAX_NAME_LENGTH

MOST_ROWS = 180
"""Columns that the form shows; what more there are stay as they are in the mapping."""
GRID = "grid"
"""What the columns of a grid's factors are called in a mapping."""
USES = [
    ("target", "target"),
    ("", "left out"),
    ("id", "id: names the rows"),
    ("split", "split"),
    ("units", "unit: rows that belong together"),
]
KINDS = [("class", "class"), ("real", "real"), ("circular", "circular: an angle")]
CHANNELS = [
    ("none", "none: grey images (N, height, width)"),
    ("first", "first: (N, channels, height, width)"),
    ("last", "last: (N, height, width, channels)"),
]
PIXELS = [
    ("uint8", "uint8: 256 levels, a quarter of the size"),
    ("float32", "float32: as they are, 0 to 1"),
]
BACKGROUNDS = [("", "as found"), ("black", "black"), ("white", "white")]
_SIDES = re.compile(r"^\s*(\d{1,5})\s*(?:[x\u00d7,]\s*(\d{1,5}))?\s*$")
_FLAT = re.compile(r"^\s*" + r"\s*[x\u00d7,]\s*".join([r"(\d{1,5})"] * 3) + r"\s*$")
_FACTOR = re.compile(r"^(.*\S)\s*[:=]\s*(\d{1,7})$")


@dataclass(frozen=True)
class Row:
    """One column of the source with its fields: what it is used as, its name, kind, unit and period."""

    column: ColumnFound
    use: forms.BoundField
    name: forms.BoundField
    kind: forms.BoundField
    unit: forms.BoundField
    period: forms.BoundField

    @property
    def fields(self) -> tuple[forms.BoundField, ...]:
        return (self.use, self.name, self.kind, self.unit, self.period)

    @property
    def errors(self) -> list[str]:
        """What is wrong with any of its fields."""
        return [str(said) for field in self.fields for said in field.errors]

    @property
    def values(self) -> str:
        return values_words(self.column)


class MappingForm(ServiceForm):
    """An ``ImportMapping`` to be filled in: the array of images, each column, the steps, and a name for the dataset."""

    images = choice("Images", [])
    channels = choice("Channel axis", CHANNELS)
    flat = text("Rows as images", "channels x height x width of images that are rows: 1 x 28 x 28")
    scale = text("Scale", "the pixel values that are black and white, LOW..HIGH", list="scales")
    pixels = choice("Store pixels as", PIXELS)
    crop = text("Crop", "from the middle, in pixels: 64 or 64 x 48", inputmode="text")
    resize = text("Resize to", "in pixels, after the crop: 64 or 64 x 48", inputmode="text")
    grey = forms.BooleanField(label="Grey: one channel", required=False)
    transpose = forms.BooleanField(label="Transpose: height and width change places", required=False)
    background = choice("Behind transparent pixels", BACKGROUNDS)
    grid = text(
        "Grid of factors", "their order is that of the images, the last one the fastest: shape:3, x:32"
    )
    name = text("Name of the dataset", "", maxlength=MAX_NAME_LENGTH)
    idempotency_key = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(
        self,
        source: Source,
        mapping: ImportMapping,
        data: Any = None,
        *,
        name: str = "",
        choices: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """choices: field -> examples."""
        self.source, self.mapping = with_grid(source, mapping.grid), mapping
        self.scales = list((choices or {}).get("scale", ()))
        self._columns = _ordered(self.source, mapping)[:MOST_ROWS]
        self._targets: list[int] = []
        self._leaves = [key for each in source.undecided if each.field == "left_out" for key in each.choices]
        super().__init__(data, initial=_initial(mapping, self._columns) | {"name": name})
        self.initial["idempotency_key"] = uuid4().hex
        self._own_fields(choices or {})
        for place in range(len(self._columns)):
            self._add_column(place)
        for place, key in enumerate(self._leaves):
            self.fields[f"leave-{place}"] = forms.BooleanField(label=f"Leave '{key}' out", required=False)
            self.initial[f"leave-{place}"] = key in mapping.left_out

    def _own_fields(self, choices: Mapping[str, Sequence[str]]) -> None:
        """Leave the fields that this source has something for, with its choices."""
        arrays = self.source.image_arrays
        self.fields["images"].widget.choices = [(each.name, _array_words(each)) for each in arrays] or [
            (self.mapping.images, self.mapping.images)
        ]
        parts = {part: rows for split in self.source.splits for part, rows in split.parts.items()}
        self.fields["parts"] = forms.MultipleChoiceField(
            label="Parts of the split to take",
            required=False,
            widget=forms.CheckboxSelectMultiple,
            choices=[(part, f"{part}: {rows:,} rows") for part, rows in parts.items()],
        )
        absent = {
            "parts": not parts,
            "channels": not arrays,
            "flat": self.mapping.flat is None and all(len(each.shape) != 2 for each in arrays),
            "background": not self.mapping.steps.background
            and not any("A" in mode or mode == "P" for mode in self.source.modes),
            "grid": not (self.source.grid or self.mapping.grid or "grid" in choices),
            "transpose": not (self.source.transposed or self.mapping.steps.transpose or arrays),
        }
        for field, is_absent in absent.items():
            if is_absent:
                del self.fields[field]

    def _add_column(self, place: int) -> None:
        self.fields[f"use-{place}"] = choice("Used as", USES)
        self.fields[f"name-{place}"] = text("Name", maxlength=MAX_NAME)
        self.fields[f"kind-{place}"] = choice("Kind", KINDS)
        self.fields[f"unit-{place}"] = text("Unit", maxlength=40)
        self.fields[f"period-{place}"] = number("Period", "", min=0)
        key = self._columns[place].key
        for field in ("use", "name", "kind", "unit", "period"):
            widget = self.fields[f"{field}-{place}"].widget
            widget.attrs["aria-label"] = f"{self.fields[f'{field}-{place}'].label} of {key}"

    @property
    def rows(self) -> list[Row]:
        """The columns of the source, the targets first, with their fields."""
        return [
            Row(column, *(self[f"{field}-{place}"] for field in ("use", "name", "kind", "unit", "period")))
            for place, column in enumerate(self._columns)
        ]

    @property
    def more_columns(self) -> int:
        """How many columns are not shown."""
        return max(0, len(self.source.columns) - MOST_ROWS)

    @property
    def pixel_fields(self) -> list[forms.BoundField]:
        return [
            self[name]
            for name in ("images", "channels", "flat", "scale", "pixels", "grid")
            if name in self.fields
        ]

    @property
    def leave_ticks(self) -> list[forms.BoundField]:
        """What cannot be read as it is: a tick for each agrees to leave it out."""
        return [self[f"leave-{place}"] for place in range(len(self._leaves))]

    @property
    def step_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("crop", "resize", "background") if name in self.fields]

    @property
    def step_ticks(self) -> list[forms.BoundField]:
        return [self[name] for name in ("grey", "transpose") if name in self.fields]

    def filled(self) -> dict[str, Any]:
        """Return what the form begins with, as if somebody had sent it."""
        return {name: self.get_initial_for_field(field, name) for name, field in self.fields.items()}

    def asked(self) -> ImportMapping:
        """Return the mapping that was filled in; raises InvalidInput naming the fields of a mapping."""
        self.full_clean()
        given = self.cleaned_data
        errors: dict[str, list[str]] = {}
        steps = {
            "transpose": given.get("transpose", False),
            "background": given.get("background", ""),
            "grey": given.get("grey", False),
            **{name: sides_of(given.get(name, ""), name, errors) for name in ("crop", "resize")},
        }
        wanted: dict[str, Any] = {
            "images": given.get("images") or self.mapping.images,
            "channels": given.get("channels") or self.mapping.channels,
            "flat": flat_of(given.get("flat", ""), errors),
            "scale": given.get("scale", ""),
            "pixels": given.get("pixels") or "uint8",
            "parts": given.get("parts", []),
            "grid": _grid(given.get("grid", ""), errors),
            "steps": steps,
            **self._used(given, errors),
        }
        try:
            self._follow(wanted)
            mapping = ImportMapping.parse(wanted)
        except InvalidInput as error:
            errors = {**error.fields, **errors}
        if errors:
            raise InvalidInput(errors)
        return mapping

    def _follow(self, wanted: dict[str, Any]) -> None:
        """Where another array is chosen for the images, or another grid, say what is proposed for it."""
        before = self.mapping
        if wanted["images"] != before.images:
            proposed = with_images(self.source, before, wanted["images"])
            for field in ("channels", "flat", "scale"):
                if wanted[field] == getattr(before, field):
                    wanted[field] = getattr(proposed, field)
        grid = [GridFactor.model_validate(factor) for factor in wanted["grid"]]
        if tuple(grid) != before.grid:
            others = [target for target in wanted["targets"] if target["source"] != GRID]
            columns = with_grid(self.source, grid).columns
            wanted["targets"] = [
                *others,
                *(as_target(each).model_dump() for each in columns if each.source == GRID),
            ]
            wanted["left_out"] = [key for key in wanted["left_out"] if not key.startswith(f"{GRID}[")]

    def _used(self, given: Mapping[str, Any], errors: dict[str, list[str]]) -> dict[str, Any]:
        """Return what the rows of columns say; columns that are not shown stay as they are."""
        shown = {column.key for column in self._columns}
        hidden = {column.key for column in self.source.columns} - shown
        before = {target.key: target for target in self.mapping.targets}
        targets: list[dict[str, Any]] = []
        used: dict[str, str] = {}
        left_out = [key for key in self.mapping.left_out if key not in shown and key not in self._leaves]
        left_out += [key for place, key in enumerate(self._leaves) if given.get(f"leave-{place}")]
        self._targets = []
        for place, column in enumerate(self._columns):
            use = given.get(f"use-{place}", "")
            if use == "target":
                targets.append(_target(column, given, place, before.get(column.key)))
                self._targets.append(place)
            elif use in ("id", "split", "units"):
                if use in used:
                    errors[f"use-{place}"] = [f"'{used[use]}' is the {use} already; only one column may be"]
                used[use] = column.key
            else:
                left_out.append(column.key)
        kept = [target.model_dump() for key, target in before.items() if key in hidden]
        for role in ("id", "split", "units"):
            there = getattr(self.mapping, role)
            used.setdefault(role, there if there in hidden else "")
        return {"targets": [*targets, *kept], "left_out": left_out, **used}

    def refuse(self, error: InvalidInput) -> None:
        """Show what a mapping was refused for beside the fields that say it."""
        if not self._targets:  # nobody has asked what was filled in: it is what the mapping says
            keys = [column.key for column in self._columns]
            self._targets = [
                keys.index(each.key) if each.key in keys else -1 for each in self.mapping.targets
            ]
        super().refuse(InvalidInput({self._field_of(where): said for where, said in error.fields.items()}))

    def _field_of(self, where: str) -> str:
        parts = where.split(".")
        if parts[0] == "targets" and len(parts) > 1 and parts[1].isdecimal():
            place = self._targets[int(parts[1])] if int(parts[1]) < len(self._targets) else -1
            if place >= 0:
                field = f"{parts[2] if len(parts) > 2 else 'use'}-{place}"
                return field if field in self.fields else f"use-{place}"
            return where
        if parts[0] == "steps" and len(parts) > 1:
            return parts[1] if parts[1] in self.fields else where
        if parts[0] in ("id", "split", "units"):
            for place, column in enumerate(self._columns):
                if column.key == getattr(self.mapping, parts[0]):
                    return f"use-{place}"
        return parts[0] if parts[0] in self.fields else where


def _ordered(source: Source, mapping: ImportMapping) -> list[ColumnFound]:
    """Return the columns of a source, those that are targets first and in the mapping's order."""
    place = {target.key: number for number, target in enumerate(mapping.targets)}
    return sorted(source.columns, key=lambda column: place.get(column.key, len(place)))


def _initial(mapping: ImportMapping, columns: Sequence[ColumnFound]) -> dict[str, Any]:
    steps = mapping.steps
    values: dict[str, Any] = {
        "images": mapping.images,
        "channels": mapping.channels,
        "flat": flat_words(mapping.flat),
        "scale": mapping.scale,
        "pixels": mapping.pixels,
        "parts": list(mapping.parts),
        "grid": ", ".join(f"{factor.name}:{factor.size}" for factor in mapping.grid),
        "crop": sides_words(steps.crop),
        "resize": sides_words(steps.resize),
        "grey": steps.grey,
        "transpose": steps.transpose,
        "background": steps.background,
    }
    targets = {target.key: target for target in mapping.targets}
    for place, column in enumerate(columns):
        target = targets.get(column.key)
        use = "target" if target else use_of(mapping, column.key)
        kind = target.kind if target else kind_of(column)
        period = target.period if target else column.period
        values |= {
            f"use-{place}": use,
            f"name-{place}": target.name if target else column.name,
            f"kind-{place}": kind,
            f"unit-{place}": target.unit if target else column.unit,
            f"period-{place}": "" if period is None else f"{period:.12g}",
        }
    return values


def as_target(column: ColumnFound) -> TargetMapping:
    """Return what a column is as a target, unless somebody says otherwise."""
    kind = kind_of(column)
    return TargetMapping(
        source=column.source,
        index=column.index,
        name=column.name,
        kind="class" if kind == "class" else "real",
        labels=column.labels if kind == "class" else None,
        unit=column.unit,
        period=column.period if kind == "real" else None,
    )


def with_grid(source: Source, grid: Sequence[GridFactor]) -> Source:
    """Return a source whose images come in the order of a grid, with a column for each of its factors."""
    known = {column.name: column for column in source.columns if column.source == GRID}
    told = [
        ColumnFound(
            source=GRID,
            index=place,
            name=factor.name,
            kind="class",
            why="the order of the images",
            distinct=factor.size,
            least=0,
            greatest=factor.size - 1,
            labels=known[factor.name].labels if factor.name in known else None,
        )
        for place, factor in enumerate(grid)
    ]
    others = [column for column in source.columns if column.source != GRID]
    return source.model_copy(update={"columns": (*others, *told)})


def flat_of(written: str, errors: dict[str, list[str]]) -> tuple[int, ...] | None:
    """Return channels, height and width as they were written; what is wrong goes into ``errors`` under ``flat``."""
    if not written.strip():
        return None
    found = _FLAT.match(written)
    if found is None:
        errors["flat"] = [f"{written!r} is refused; write channels x height x width, such as 1 x 28 x 28"]
        return None
    return tuple(map(int, found.groups()))


def flat_words(flat: tuple[int, int, int] | None) -> str:
    """Return channels, height and width as they are written into a field."""
    return "" if flat is None else " x ".join(map(str, flat))


def use_of(mapping: ImportMapping, key: str) -> str:
    """Return what a column that is no target is used as: ``id``, ``split``, ``units`` or nothing."""
    return next((use for use in ("id", "split", "units") if key and getattr(mapping, use) == key), "")


def sides_words(sides: tuple[int, int] | None) -> str:
    """Return height and width as they are written into a field."""
    return "" if sides is None else f"{sides[0]} x {sides[1]}"


def kind_of(column: ColumnFound) -> str:
    """Return what a column is as a target, unless somebody says otherwise."""
    if column.kind in ("class", "real"):
        return column.kind
    return "class" if column.labels or column.kind in ("text", "split") else "real"


def _target(
    column: ColumnFound, given: Mapping[str, Any], place: int, before: TargetMapping | None
) -> dict[str, Any]:
    kind = given.get(f"kind-{place}") or kind_of(column)
    labels = (before.labels if before else column.labels) if kind == "class" else None
    return {
        "source": column.source,
        "index": column.index,
        "name": given.get(f"name-{place}", ""),
        "kind": kind,
        "labels": labels,
        "unit": given.get(f"unit-{place}", "") if kind != "class" else "",
        "period": given.get(f"period-{place}") or None if kind == "circular" else None,
    }


def sides_of(written: str, field: str, errors: dict[str, list[str]]) -> tuple[int, int] | None:
    """Return height and width as they were written; what is wrong goes into ``errors`` under ``steps.<field>``."""
    if not written.strip():
        return None
    found = _SIDES.match(written)
    if found is None:
        errors[f"steps.{field}"] = [f"{written!r} is refused; write one side, 64, or height x width, 64 x 48"]
        return None
    return int(found[1]), int(found[2] or found[1])


def _grid(written: str, errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    factors = []
    for part in filter(None, map(str.strip, written.split(","))):
        found = _FACTOR.match(part)
        if found is None:
            errors["grid"] = [f"{part!r} is refused; write name:size for each factor, such as shape:3, x:32"]
            return []
        factors.append({"name": found[1], "size": int(found[2])})
    return factors


def _array_words(array: ArrayFound) -> str:
    shape = " x ".join(f"{size:,}" for size in array.shape)
    return f"{array.name}: {shape}, {array.dtype}"


def values_words(column: ColumnFound) -> str:
    """Return the values of a column in short: how many different ones, from where to where, or the first of them."""
    many = f"{column.distinct:,} different"
    if column.labels:
        return f"{many}: {_some(column.labels)}"
    if column.least is not None and column.greatest is not None:
        return f"{many}, {column.least:g} to {column.greatest:g}"
    return f"{many}: {_some(column.examples)}" if column.examples else many


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:4]) + (", …" if len(words) > 4 else "")
