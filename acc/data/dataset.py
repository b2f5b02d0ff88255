"""The one form of data in ACC: images with named targets, identified by their content. Torch-free."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data import files
from acc.errors import DatasetLost, InvalidInput
from acc.specs import DatasetSpec, ImageShape, TargetSpec

FORMAT = "acc-dataset-1"
IMAGES = "images"
TARGET_PREFIX = "target."
UNITS = "units"
SPLIT = "split"
PARTS = ("training", "validation", "test")
"""What the numbers 0, 1 and 2 of a split that comes with the data mean."""
_RESERVED = (IMAGES, UNITS)
_DTYPES: dict[str, type[np.generic]] = {"class": np.int64, "real": np.float32}
_CHUNK_BYTES = 1 << 24


class AccDataset:
    """Images ``(N, C, H, W)``, uint8 or float32 in 0..1, with columns ``(N,)``: int64 labels or float32 values.

    units: ``(N,) int64``, the same number for rows that belong together, such as versions of one scan; splits,
    folds and resampling keep units whole. None: each row stands for itself.
    split: ``(N,) uint8``, the part of each row (``PARTS``) in a split that comes with the data: 0 training,
    1 validation, 2 test. None: it comes with none.
    Arrays may be memory-mapped and are never written to. Raises InvalidInput for arrays that do not fit
    together, labels outside ``0..classes-1``, values that are not finite, and units on two sides of the split.
    ``name``: what it is called in a sentence about its file, if it has a name.
    """

    name = ""

    def __init__(
        self,
        images: NDArray[np.uint8] | NDArray[np.float32],
        targets: Mapping[str, NDArray[Any]] | None = None,
        target_specs: Sequence[TargetSpec] = (),
        *,
        units: NDArray[np.integer[Any]] | None = None,
        split: NDArray[np.integer[Any]] | None = None,
        content_hash: str = "",
    ) -> None:
        self.images = images
        self.units: NDArray[np.int64] | None = units  # type: ignore[assignment]  # made so below
        self.split: NDArray[np.uint8] | None = split  # type: ignore[assignment]  # made so below
        self.target_specs = tuple(target_specs)
        self.targets: dict[str, NDArray[Any]] = dict(targets or {})
        self._content_hash = content_hash
        if not content_hash:  # what was loaded from a verified file has been checked before
            _check(images, self.targets, self.target_specs)
            if split is not None and SPLIT in self.targets:
                raise InvalidInput(
                    {f"targets.{SPLIT}": "the data has a split; call the target something else"}
                )
            self.units = None if units is None else _checked_units(units, len(images))
            self.split = None if split is None else _checked_split(split, len(images), self.units)
            self.targets = {
                column.name: np.ascontiguousarray(self.targets[column.name], dtype=_DTYPES[column.kind])
                for column in self.target_specs
            }

    def __len__(self) -> int:
        return int(self.images.shape[0])

    @property
    def parts(self) -> dict[str, int]:
        """How many rows each part of the split has that came with the data, by ``PARTS``; none without one."""
        if self.split is None:
            return {}
        counts = np.bincount(self.split, minlength=len(PARTS)).tolist()
        return {part: count for part, count in zip(PARTS, counts, strict=True) if count}

    @property
    def unit_count(self) -> int:
        """How many units there are; as many as rows where each stands for itself."""
        return len(self) if self.units is None else len(np.unique(self.units))

    @property
    def image(self) -> ImageShape:
        """Shape of one image."""
        channels, height, width = self.images.shape[1:]
        return ImageShape(channels=channels, height=height, width=width)

    @property
    def content_hash(self) -> str:
        """SHA-256 of images, targets, their description, units and split; the same however the file is laid out."""
        if not self._content_hash:
            self._content_hash = _content_hash(
                self.images, self.targets, self.target_specs, self.units, self.split
            )
        return self._content_hash

    def read(self, rows: NDArray[np.int64], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the images of rows ``(K,)``, a copy ``(K, C, H, W)`` as they are stored; ``out``: put them there.

        What lies in a file does not become part of this process's memory by being read. Raises IndexError for rows
        that there are not, and DatasetLost for a file that can no longer be read.
        """
        if len(rows) and not 0 <= np.min(rows) <= np.max(rows) < len(self):
            raise IndexError(f"rows {np.min(rows)} to {np.max(rows)} of a dataset of {len(self)}")
        if out is None:
            out = np.empty((len(rows), *self.images.shape[1:]), self.images.dtype)
        if self.images.flags.c_contiguous and len(rows):
            try:
                files.read_rows(self.images, np.asarray(rows), out)
            except OSError as error:
                who = f"the dataset '{self.name}'" if self.name else "a dataset"
                why = error.strerror or error
                raise DatasetLost(
                    f"{who} can no longer be read from its file '{error.filename}': {why}. Restore the file and go on; "
                    "what was kept before is whole"
                ) from error
        else:
            out[...] = self.images[rows]
        return out

    def spec(self, name: str) -> DatasetSpec:
        """Return the specification that jobs and checkpoints keep of this dataset."""
        return DatasetSpec(
            name=name,
            content_hash=self.content_hash,
            n=len(self),
            image=self.image,
            targets=self.target_specs,
            units=None if self.units is None else self.unit_count,
        )

    def save(self, path: str | Path) -> str:
        """Write one safetensors file (temporary name, fsync, rename) and return its SHA-256."""
        tensors: dict[str, NDArray[Any]] = {IMAGES: np.ascontiguousarray(self.images)}
        for name, values in self.targets.items():
            tensors[TARGET_PREFIX + name] = np.ascontiguousarray(values)
        if self.units is not None:
            tensors[UNITS] = np.ascontiguousarray(self.units)
        if self.split is not None:
            tensors[SPLIT] = np.ascontiguousarray(self.split)
        return files.write(Path(path), tensors, description(self.content_hash, self.target_specs))

    @classmethod
    def load(cls, path: str | Path, *, mmap: bool = True) -> AccDataset:
        """Return the dataset of a file; memory-mapped, so that many processes share one copy.

        Raises InvalidInput (file) for a file that is not a dataset of ACC.
        """
        tensors, metadata = files.read(Path(path), mmap=mmap)
        try:
            told = json.loads(metadata["acc"])
            if told["format"] != FORMAT:
                raise InvalidInput(file=f"'{Path(path).name}' is {told['format']!r}, not {FORMAT!r}")
            specs = tuple(TargetSpec.model_validate(column) for column in told["targets"])
            return cls(
                tensors[IMAGES],
                {column.name: tensors[TARGET_PREFIX + column.name] for column in specs},
                specs,
                units=tensors.get(UNITS),
                split=tensors.get(SPLIT),
                content_hash=told["content_hash"],
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput({"file": f"'{Path(path).name}' is not a dataset written by ACC"}) from error


def description(content_hash: str, specs: Sequence[TargetSpec]) -> dict[str, str]:
    """Return what the header of a dataset's file says of it."""
    told = {
        "format": FORMAT,
        "content_hash": content_hash,
        "targets": [column.model_dump() for column in specs],
    }
    return {"acc": json.dumps(told, sort_keys=True)}


def _check(images: NDArray[Any], targets: Mapping[str, NDArray[Any]], specs: Sequence[TargetSpec]) -> None:
    if images.dtype not in (np.uint8, np.float32):
        raise InvalidInput(
            {"images": f"dtype {images.dtype} is refused; need uint8, 0 to 255, or float32, 0 to 1"}
        )
    if images.ndim != 4 or 0 in images.shape:
        raise InvalidInput(
            {"images": f"shape {tuple(images.shape)} is refused; need (N, C, H, W) with at least one image"}
        )
    if images.dtype == np.float32:
        _check_unit(images)
    names = [column.name for column in specs]
    if sorted(names) != sorted(targets):
        raise InvalidInput(
            {"targets": f"columns {sorted(targets)} and their descriptions {sorted(names)} do not agree"}
        )
    for name in _RESERVED:
        if name in names:
            raise InvalidInput(
                {
                    f"targets.{name}": f"'{name}' is the name of an array of its own; call the target something else"
                }
            )
    errors: dict[str, str] = {}
    for column in specs:
        problem = _column_problem(np.asarray(targets[column.name]), column, len(images))
        if problem:
            errors[f"targets.{column.name}"] = problem
    if errors:
        raise InvalidInput(errors)


def _checked_units(units: NDArray[Any], n: int) -> NDArray[np.int64]:
    units = np.asarray(units)
    if units.shape != (n,) or not np.issubdtype(units.dtype, np.integer):
        raise InvalidInput(
            {
                UNITS: f"shape {units.shape} of {units.dtype} is refused; need one whole number for each of the {n} "
                "images, the same for those that belong together"
            }
        )
    return np.ascontiguousarray(units, dtype=np.int64)


def _checked_split(split: NDArray[Any], n: int, units: NDArray[np.int64] | None) -> NDArray[np.uint8]:
    split = np.asarray(split)
    told = ", ".join(f"{number} for {part}" for number, part in enumerate(PARTS))
    if split.shape != (n,) or not np.issubdtype(split.dtype, np.integer):
        raise InvalidInput(
            {
                SPLIT: f"shape {split.shape} of {split.dtype} is refused; need one number for each of the {n} images: "
                f"{told}"
            }
        )
    wrong = np.flatnonzero((split < 0) | (split >= len(PARTS)))
    if len(wrong):
        raise InvalidInput({SPLIT: f"image {wrong[0]} has {split[wrong[0]]}; need {told}"})
    if not (split == 0).any():
        raise InvalidInput({SPLIT: "no image is for training; at least one must be, which is 0"})
    if not split.any():
        raise InvalidInput({SPLIT: "every image is for training; leave the split out"})
    if units is not None:
        _, first, unit_of = np.unique(units, return_index=True, return_inverse=True)
        apart = np.flatnonzero(split[first][unit_of] != split)
        if len(apart):
            here, there = PARTS[split[apart[0]]], PARTS[split[first][unit_of][apart[0]]]
            raise InvalidInput(
                {
                    SPLIT: f"unit {units[apart[0]]} has images in {there} and in {here}; the rows of a unit stay "
                    "together"
                }
            )
    return np.ascontiguousarray(split, dtype=np.uint8)


def _check_unit(images: NDArray[Any]) -> None:
    for start, part in _parts(images):
        low, high = part.min(), part.max()
        if not (low >= 0 and high <= 1):  # so that NaN is refused as well
            where = f"images {start} to {start + len(part) - 1}"
            raise InvalidInput({"images": f"{where} hold {low:g} to {high:g}; float32 images need 0 to 1"})


def _parts(images: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    rows = max(1, _CHUNK_BYTES // max(1, images[0].nbytes))
    for start in range(0, len(images), rows):
        yield start, images[start : start + rows]
        files.give_back(images)


def _column_problem(values: NDArray[Any], column: TargetSpec, n: int) -> str:
    if values.shape != (n,):
        return f"has shape {values.shape}; need one value for each of the {n} images"
    if column.kind == "real":
        with np.errstate(over="ignore"):
            wrong = np.flatnonzero(~np.isfinite(values.astype(np.float32)))
        return f"sample {wrong[0]} is {values[wrong[0]]}; need finite float32 numbers" if len(wrong) else ""
    if not np.issubdtype(values.dtype, np.integer):
        return f"dtype {values.dtype} is refused; class labels are whole numbers"
    return _label_problem(values, column)


def _label_problem(values: NDArray[Any], column: TargetSpec) -> str:
    if column.classes is None or column.classes < 1:
        return "a class column must say how many classes it has"
    wrong = np.flatnonzero((values < 0) | (values >= column.classes))
    if len(wrong):
        return f"sample {wrong[0]} has label {values[wrong[0]]}; labels go from 0 to {column.classes - 1}"
    if column.labels is not None and len(column.labels) != column.classes:
        return f"{len(column.labels)} labels name {column.classes} classes; give one for each"
    return ""


def _content_hash(
    images: NDArray[Any],
    targets: Mapping[str, NDArray[Any]],
    specs: Sequence[TargetSpec],
    units: NDArray[np.int64] | None,
    split: NDArray[np.uint8] | None,
) -> str:
    digest = ContentHash(images.shape, images.dtype, specs, units=units is not None, split=split is not None)
    for _, part in _parts(images):
        digest.images(part)
    return digest.end(targets, units, split)


class ContentHash:
    """The content hash of a dataset whose images come in blocks, and its columns at the end."""

    def __init__(
        self,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        specs: Sequence[TargetSpec],
        *,
        units: bool = False,
        split: bool = False,
    ) -> None:
        self._specs = sorted(specs, key=lambda column: column.name)
        head: list[Any] = [FORMAT, list(shape), [column.model_dump() for column in self._specs]]
        if dtype != np.uint8:
            head.append(str(dtype))
        if units:
            head.append(UNITS)
        if split:
            head.append(SPLIT)
        self._digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())

    def images(self, block: NDArray[Any]) -> None:
        self._digest.update(np.ascontiguousarray(block).data)

    def end(
        self,
        targets: Mapping[str, NDArray[Any]],
        units: NDArray[np.int64] | None,
        split: NDArray[np.uint8] | None,
    ) -> str:
        """Return the hash, once all images were given."""
        for column in self._specs:
            values = np.ascontiguousarray(targets[column.name])
            self._digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
        if units is not None:
            self._digest.update(np.ascontiguousarray(units).astype("<i8", copy=False).tobytes())
        if split is not None:
            self._digest.update(np.ascontiguousarray(split).tobytes())
        return self._digest.hexdigest()
