"""The words of an import: what is in a source, and what is to become of it. Torch-free, and plain JSON both ways.

``look`` gives a ``Source``, ``propose`` the ``ImportMapping`` that it most likely wants, ``asked`` what has to be
decided before it can be read. The mapping is kept with the dataset, so that the same import can be made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from acc.data.importers.limits import MAX_SIDE, MIN_SIDE
from acc.errors import InvalidInput
from acc.names import Name
from acc.refusals import field_errors
from acc.specs import Spec

Pixels = Literal["uint8", "float32"]
"""How pixels are stored: rounded to 256 levels, or as numbers from 0 to 1."""
ColumnKind = Literal["class", "real", "id", "split", "unit", "constant", "text"]
TargetKind = Literal["class", "real", "circular"]
Channels = Literal["first", "last", "none"]
Background = Literal["", "black", "white"]


class ArrayFound(Spec):
    """An array in a source. ``where``: the file or member that holds it.

    least, greatest, distinct, whole: of the values that were looked at, all of them unless ``sampled``; distinct None:
    more than 1,000. role: ``images`` for one that may be images, ``columns`` for ``(N,)`` and ``(N, K)`` with a value
    or some for each image, else ``other``.
    """

    name: str
    where: str = ""
    shape: tuple[int, ...]
    dtype: str
    role: Literal["images", "columns", "other"] = "other"
    least: float | None = None
    greatest: float | None = None
    distinct: int | None = None
    whole: bool = False
    sampled: bool = False
    first: tuple[float, ...] = ()


class ColumnFound(Spec):
    """A column with a value for each image: of a table, an array ``(N,)``, or one of an array ``(N, K)``.

    source, index: where it is, as a mapping names it. name: what it is best called. kind: the guess, and ``why``.
    labels: names of its classes, where they are known. examples: its first different values. period, unit: of an
    angle, where they are known.
    """

    source: str
    index: int | None = None
    name: str
    where: str = ""
    kind: ColumnKind
    why: str = ""
    distinct: int
    examples: tuple[str, ...] = ()
    least: float | None = None
    greatest: float | None = None
    labels: tuple[str, ...] | None = None
    unit: str = ""
    period: float | None = None

    @property
    def key(self) -> str:
        """How a mapping names it in one word: ``source`` or ``source[index]``."""
        return key_of(self.source, self.index)


class FolderFound(Spec):
    """A folder of pictures, and how many lie in it."""

    name: str
    files: int


class SplitFound(Spec):
    """A split that comes with the data: the column that tells it, and the rows of each part."""

    column: str
    parts: dict[str, int]


class SizeFound(Spec):
    """A size that pictures have, in pixels, and how many of those that were looked at have it."""

    height: int
    width: int
    count: int


class PassedOver(Spec):
    """Something in a source that is not read, and why."""

    name: str
    why: str


class GridFactor(Spec):
    """A factor of images that come in the order of a grid: ``size`` values, the last factor the fastest."""

    name: Name
    size: int = Field(ge=1, le=1_000_000)


class Question(Spec):
    """Something to be decided. field: of the mapping; choices: examples; needed: nothing is read without it."""

    field: str
    words: str
    choices: tuple[str, ...] = ()
    proposed: str = ""
    needed: bool = False


class Source(Spec):
    """What is in a file or folder. layout: the name of a known layout, such as ``dSprites``, or nothing.

    sizes: of pictures in files, the most frequent first. grid: the factors whose grid is the order of the images,
    where that is known; their columns are among ``columns``. transposed: pictures lie on their side, as EMNIST's do.
    notes: sentences about it. undecided: what only a person can decide, each answered by leaving ``choices`` out.
    """

    file: str
    labels: str = ""
    format: str
    layout: str = ""
    rows: int
    arrays: tuple[ArrayFound, ...] = ()
    columns: tuple[ColumnFound, ...] = ()
    folders: tuple[FolderFound, ...] = ()
    splits: tuple[SplitFound, ...] = ()
    sizes: tuple[SizeFound, ...] = ()
    modes: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    grid: tuple[GridFactor, ...] = ()
    transposed: bool = False
    notes: tuple[str, ...] = ()
    table: str = ""
    undecided: tuple[Question, ...] = ()

    def array(self, name: str) -> ArrayFound | None:
        return next((array for array in self.arrays if array.name == name), None)

    def column(self, key: str) -> ColumnFound | None:
        return next((column for column in self.columns if column.key == key), None)

    @property
    def image_arrays(self) -> tuple[ArrayFound, ...]:
        """The arrays that may be the images."""
        return tuple(array for array in self.arrays if array.role == "images")


class TargetMapping(Spec):
    """A column that becomes a target. kind ``circular``: an angle with a ``period``, kept as its sine and cosine.

    labels: names of the classes in the order of their values; None: as they are found.
    """

    source: str
    index: int | None = Field(default=None, ge=0)
    name: Name
    kind: TargetKind = "real"
    labels: tuple[str, ...] | None = None
    unit: str = Field(default="", max_length=40)
    period: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @property
    def key(self) -> str:
        return key_of(self.source, self.index)


class Steps(Spec):
    """What is done to each image, in this order; all of it is on record.

    transpose: height and width change places. background: what is laid under transparent pictures. grey: one channel,
    by the weights of ITU-R 601. crop, resize: ``(height, width)`` in pixels, cut from the middle, and scaled
    (Lanczos).
    """

    transpose: bool = False
    background: Background = ""
    grey: bool = False
    crop: tuple[int, int] | None = None
    resize: tuple[int, int] | None = None

    @field_validator("crop", "resize")
    @classmethod
    def _sides_are_allowed(cls, sides: tuple[int, int] | None) -> tuple[int, int] | None:
        if sides is not None and not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
            raise ValueError(
                f"{sides[0]} x {sides[1]} is refused; each side may be {MIN_SIDE} to {MAX_SIDE} pixels"
            )
        return sides


class ImportMapping(Spec):
    """What is to become of a source: which array is the images, what they mean, and what each column is.

    images: name of an array of the source; empty where it has to be decided. channels: where its channel axis is.
    flat: ``(channels, height, width)`` of images that are rows ``(N, K)``. scale: the black and the white value,
    ``LOW..HIGH``; empty where it has to be decided. targets: in their order. id: a column that names the rows, kept
    nowhere. split, parts: the column of a split that comes with the data, and the parts to take (none: all). units: the
    column that says which rows belong together. left_out: what is not taken, on record; what nothing names is left out
    as well. grid: the factors in whose order the images come, if no column tells them. Columns are named ``source``,
    or ``source[index]`` for one of several.
    """

    images: str
    channels: Channels = "none"
    flat: tuple[int, int, int] | None = None
    scale: str = ""
    pixels: Pixels = "uint8"
    targets: tuple[TargetMapping, ...] = ()
    id: str = ""
    split: str = ""
    parts: tuple[str, ...] = ()
    units: str = ""
    left_out: tuple[str, ...] = ()
    grid: tuple[GridFactor, ...] = ()
    steps: Steps = Steps()

    @field_validator("grid")
    @classmethod
    def _factors_differ(cls, grid: tuple[GridFactor, ...]) -> tuple[GridFactor, ...]:
        twice = [name for name, count in Counter(factor.name for factor in grid).items() if count > 1]
        if twice:
            raise ValueError(f"two factors are called '{twice[0]}'; give each a name of its own")
        return grid

    @classmethod
    def parse(cls, value: Any) -> ImportMapping:
        """Return the mapping of plain values or JSON text; raises InvalidInput naming each field."""
        try:
            if isinstance(value, str | bytes):
                return cls.model_validate_json(value)
            return cls.model_validate(value)
        except ValidationError as error:
            raise InvalidInput(field_errors(error) or {"mapping": "is no mapping of an import"}) from error

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, as provenance keeps it."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Histogram(Spec):
    """How often a target has its values: ``counts`` between ``edges`` (real), or of each of ``labels`` (class)."""

    target: str
    kind: str
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


def key_of(source: str, index: int | None) -> str:
    return source if index is None else f"{source}[{index}]"


def keys(columns: Iterable[ColumnFound]) -> str:
    """Return the names of columns as a refusal lists them."""
    there = [f"'{column.key}'" for column in columns]
    return ", ".join(there[:20]) + (", ..." if len(there) > 20 else "") or "none"


def changed(mapping: ImportMapping, **changes: Any) -> ImportMapping:
    """Return a mapping with some fields replaced, checked anew; raises InvalidInput naming the field."""
    return ImportMapping.parse({**mapping.model_dump(), **_plain(changes)})


def _plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.model_dump() if isinstance(value, Spec) else value for name, value in changes.items()}
