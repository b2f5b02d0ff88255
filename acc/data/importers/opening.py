"""Opens a file or folder by what it begins with, and tells its arrays and columns apart."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data import files as safetensors
from acc.data.dataset import PARTS, SPLIT, UNITS
from acc.data.importers import (
    cifar,
    columns,
    file_sets,
    hdf,
    idx,
    layouts,
    mat,
    npy,
    npz,
    own,
    parquet,
    picture_sets,
    pictures,
    webdataset,
)
from acc.data.importers.assembling import CHANNELS, LABEL_NAMES, assemble, columns_of
from acc.data.importers.found import Blocks, Column, Lazy, Opened, joined, of_array
from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, refuse
from acc.data.importers.mapping import Background, PassedOver
from acc.errors import InvalidInput

FORMATS: Mapping[str, str] = {
    "idx": "IDX",
    "npz": ".npz",
    "npy": ".npy",
    "pt": ".pt",
    "hdf5": "HDF5",
    "mat": ".mat",
    "parquet": "parquet",
    "safetensors": "a dataset of ACC",
    "images": "images in a folder, zip or tar archive",
    "tar": "WebDataset",
    "cifar": "the binary version of CIFAR",
    "folder": "a folder of arrays",
}
"""The formats there are, each with what it takes in words."""
_BY_ENDING = {
    ".npz": {"npz"},
    ".npy": {"npy"},
    ".pt": {"pt"},
    ".pth": {"pt"},
    ".safetensors": {"safetensors"},
    ".zip": {"images"},
    ".idx": {"idx"},
    ".h5": {"hdf5"},
    ".hdf5": {"hdf5"},
    ".mat": {"mat", "hdf5"},
    ".parquet": {"parquet"},
    ".tar": {"images"},
    ".tgz": {"images"},
    ".gz": {"idx", "images"},
}
_WITH_LABELS = {"idx", "npy", "images", "hdf5", "mat", "npz"}
_ARRAY_ENDINGS = {".npy", ".npz", ".h5", ".hdf5", ".mat", ".parquet", ".pt", ".pth", ".bin", ".idx", ".tar"}
MAX_IMAGE_BYTES = 1 << 28
"""Of one image before crop and resize: an array is read in whole images."""
_MATLAB = b"MATLAB 5.0 MAT-file"
Arrays = Mapping[str, NDArray[Any]]
ReadTensors = Callable[[Path, int], Arrays]


@dataclass(frozen=True)
class Limits:
    """How a source is opened. read_tensors: what reads ``.pt`` files, since that takes torch; scratch: for what must
    be unpacked to disk first; background: what is laid under transparent pictures."""

    max_bytes: int = MAX_DATASET_BYTES
    read_tensors: ReadTensors | None = None
    scratch: Path | None = None
    background: Background = ""


@contextmanager
def opened(path: Path, labels: Path | None, limits: Limits) -> Iterator[Opened]:
    """Open a file or folder, and a second file with its targets; raises InvalidInput (file, labels)."""
    with ExitStack() as stack:
        found = _opened(path, labels, limits, stack)
        _check(found)
        yield found


def _opened(path: Path, labels: Path | None, limits: Limits, stack: ExitStack) -> Opened:
    kind = format_of(path)
    if labels is not None and kind not in _WITH_LABELS:
        what = {"safetensors": "a dataset of ACC"}.get(kind, f"a file of {FORMATS[kind]}")
        raise _not_needed(labels, "a .pt file" if kind == "pt" else what)
    found = Opened(path.name, kind)
    if kind == "images":
        _set(path, labels, found, limits, stack)
    elif kind == "safetensors":
        _own(path, found, limits)
    elif kind == "parquet":
        _parquet([path], found, limits)
    elif kind == "mat" and _is_norb(path):
        _norb([path], found, limits)
    else:
        arrays = _arrays(kind, path, found, limits, stack)
        if labels is not None and kind == "npz" and len(arrays) > 1:
            raise _not_needed(labels, "a .npz file")
        beside = labels or (idx.named_alike(path) if kind == "idx" else None)
        told = _beside(beside, path, found, limits) if beside is not None else []
        found.labels = beside.name if beside is not None else ""
        if kind == "idx":
            told += _alike(path, told, limits) if labels is not None else _morpho(path, found)
        assemble(arrays, found, told)
    return found


def _not_needed(labels: Path, what: str) -> InvalidInput:
    return InvalidInput({"labels": f"'{labels.name}' is not needed: {what} holds its targets itself"})


def _check(found: Opened) -> None:
    """Raise InvalidInput (file) for columns of another length than the images, and for two of one key."""
    for images in found.arrays.values():
        if 0 in images.shape:
            raise refuse(found.file, "holds no image; at least one is needed")
        if (each := images.nbytes // len(images)) > MAX_IMAGE_BYTES:
            raise refuse(
                found.file,
                f"has images of {each:,} bytes in '{images.name}'; at most {MAX_IMAGE_BYTES:,} are allowed",
            )
        for column in found.columns:
            if column.values.shape != (len(images),):
                raise refuse(
                    column.where,
                    f"does not fit: there are {len(images)} images, but target '{column.key}' has shape "
                    f"{column.values.shape}; need one value for each",
                )


# --- single files


def format_of(path: Path) -> str:
    """Return the format of a file, one of FORMATS; raises InvalidInput (file)."""
    try:
        if path.is_dir():
            return "images"
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error
    if not head:
        raise refuse(path.name, "is empty")
    named = _BY_ENDING.get(path.suffix.lower())
    kind = _kind(path, head, named or set())
    if named is not None and kind not in named:
        raise refuse(
            path.name, f"ends in {path.suffix} and holds {FORMATS[kind]}; give it the name of what it is"
        )
    return kind


def _kind(path: Path, head: bytes, named: set[str]) -> str:
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return _kind_of_zip(path) or next(iter(named & {"npz", "pt", "images"}), "npz")
    packed = next((file_sets.PACKED[magic] for magic in file_sets.PACKED if head.startswith(magic)), None)
    if packed is not None:
        return _kind_of_packed(path, packed)
    small = path.stat().st_size
    tests = (
        ("npy", head.startswith(npy.MAGIC)),
        ("hdf5", head.startswith(hdf.MAGIC)),
        ("parquet", head.startswith(parquet.MAGIC)),
        ("mat", head.startswith(_MATLAB) or mat.is_norb(head)),
        ("images", file_sets.is_tar(head)),
        ("safetensors", head[8:9] == b"{" and int.from_bytes(head[:8], "little") < small),
        ("cifar", cifar.is_batch(path)),
        ("idx", head[:2] == b"\0\0"),
    )
    found = next((kind for kind, is_it in tests if is_it), "")
    if not found:
        raise _unknown(path, head)
    return found


def _unknown(path: Path, head: bytes) -> InvalidInput:
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        which = cifar.pickled([path.name])
        if which:
            return cifar.refused(path.name, which)
        return refuse(
            path.name, "is a pickle, which may hold code; save it again by torch.save of today, or as .npz"
        )
    known = ", ".join(FORMATS.values())
    return refuse(
        path.name,
        f"begins with {head[:4].hex(' ')}, which is none of: {known}. Save raw numbers by numpy.save, which keeps "
        "their shape",
    )


def _kind_of_packed(path: Path, packed: Callable[[Path], Any]) -> str:
    try:
        with packed(path) as file:
            inner = file.read(512)
    except file_sets.PACKED_DAMAGED:
        return "images" if path.name.endswith((".tgz", ".tar.gz")) else "idx"  # which says what is damaged
    return "images" if file_sets.is_tar(inner) else "idx"


def _kind_of_zip(path: Path) -> str | None:
    """Return what a zip archive is, None for one whose directory cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return None
    if any(name.endswith("/data.pkl") for name in names):
        return "pt"
    flat = all(name.endswith(".npy") and "/" not in name for name in names)
    return "npz" if names and (flat or path.suffix.lower() == ".npz") else "images"


def _arrays(kind: str, path: Path, found: Opened, limits: Limits, stack: ExitStack) -> dict[str, Lazy]:
    """Return the arrays of a file by name; what is passed over is told to ``found``."""
    arrays: dict[str, Lazy]
    over: list[PassedOver] = []
    if kind == "npz":
        arrays, over = npz.arrays(path, max_bytes=limits.max_bytes)
    elif kind == "hdf5":
        arrays, over = hdf.arrays(path, stack, max_bytes=limits.max_bytes)
    elif kind == "mat":
        arrays, over = mat.arrays(path, max_bytes=limits.max_bytes)
        arrays = _rows_first(arrays)
    elif kind == "pt":
        if limits.read_tensors is None:
            raise refuse(path.name, "is a .pt file, which this process cannot read; import it by a job")
        told = limits.read_tensors(path, limits.max_bytes)
        arrays = {name: of_array(name, array, path.name) for name, array in told.items() if array.ndim}
    elif kind == "cifar":
        arrays = {"images": _cifar([path], {}, found, limits)}
    else:
        arrays = {"images": (idx if kind == "idx" else npy).lazy(path, "images", max_bytes=limits.max_bytes)}
    found.passed_over += over
    return arrays


def _rows_first(arrays: dict[str, Lazy]) -> dict[str, Lazy]:
    """Return MATLAB's arrays with their rows first: images are often ``(H, W, C, N)`` there, as in SVHN."""
    lengths = {len(lazy) for lazy in arrays.values() if len(lazy.shape) <= 2}
    lengths |= {lazy.shape[1] for lazy in arrays.values() if len(lazy.shape) == 2 and len(lazy) == 1}
    found: dict[str, Lazy] = {}
    for name, lazy in arrays.items():
        shape = lazy.shape
        if len(shape) == 4 and shape[2] in CHANNELS and len(shape) == 4 and shape[3] in lengths:
            found[name] = of_array(name, np.moveaxis(lazy.whole(), 3, 0), lazy.where)
        elif len(shape) == 2 and shape[0] == 1:
            found[name] = of_array(name, lazy.whole()[0], lazy.where)
        else:
            found[name] = lazy
    return found


def _beside(labels: Path, images: Path, found: Opened, limits: Limits) -> list[Column]:
    """Return the targets of a second file: an array called ``label``, or the columns of a table."""
    try:
        if labels.samefile(images):
            raise InvalidInput({"labels": f"'{labels.name}' is the file of images; give the one of labels"})
        if labels.suffix.lower() in columns.ENDINGS:
            return _table(labels, found)
        with labels.open("rb") as file:
            head = file.read(6)
    except OSError as error:
        raise refuse(labels.name, f"cannot be read: {error.strerror or error}") from error
    if head == npy.MAGIC:
        array = npy.lazy(labels, "label", max_bytes=limits.max_bytes)
    elif head[:4] == b"PK\3\4" and labels.suffix.lower() == ".npz":
        held, _ = npz.arrays(labels, max_bytes=limits.max_bytes)
        if len(held) != 1:
            raise refuse(labels.name, f"holds {', '.join(held) or 'no array'}; need one array of labels")
        array = next(iter(held.values()))
    elif head[:2] in (b"\0\0", b"\x1f\x8b"):
        array = idx.lazy(labels, "label", max_bytes=limits.max_bytes)
    else:
        raise refuse(
            labels.name, f"is neither IDX nor .npy; name a table {', '.join(sorted(columns.ENDINGS))}"
        )
    return columns_of(array.renamed("label"))


def _alike(path: Path, told: Sequence[Column], limits: Limits) -> list[Column]:
    """Return the labels that are named like images of IDX, beside a table that tells other things of them."""
    alike = idx.named_alike(path)
    names = {column.source.lower() for column in told}
    if alike is None or names & set(LABEL_NAMES) or not columns.is_table(told[0].where if told else ""):
        return []
    return columns_of(idx.lazy(alike, "label", max_bytes=limits.max_bytes))


def _table(path: Path, opened: Opened) -> list[Column]:
    try:
        check_bytes(path.name, path.stat().st_size, columns.MAX_TABLE_BYTES)
        found = columns.read(path.read_bytes(), path.name, by_file=False)
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error
    opened.refuse_columns(found.refused)
    return [
        Column(name, None, values, path.name, labels=found.labels.get(name))
        for name, values in found.values.items()
    ]


def _morpho(path: Path, found: Opened) -> list[Column]:
    """Return the measures of Morpho-MNIST (Castro et al. 2019) that lie beside its images."""
    beside = path.with_name(re.sub(r"[-_]images.*", "-morpho.csv", path.name))
    if beside.name == path.name or not file_sets.lies_beside(path, beside):
        return []
    return _table(beside, found)


def _own(path: Path, found: Opened, limits: Limits) -> None:
    tensors, metadata = safetensors.read(path)
    if tensors and "acc" not in metadata:
        check_bytes(path.name, path.stat().st_size, limits.max_bytes)
        assemble({name: of_array(name, array, path.name) for name, array in tensors.items()}, found, [])
        return
    data = own.read(path, max_bytes=limits.max_bytes)
    found.layout = "ACC"
    found.arrays["images"] = of_array("images", data.images, path.name)
    for spec in data.target_specs:
        found.columns.append(
            Column(
                spec.name,
                None,
                data.targets[spec.name],
                path.name,
                labels=spec.labels,
                kind=spec.kind,
                unit=spec.unit,
                spec=spec,
            )
        )
    if data.units is not None:
        found.add(UNITS, data.units, path.name, kind="unit")
    if data.split is not None:
        found.add(SPLIT, data.split, path.name, kind="split", labels=PARTS)


# --- sets of files


def _set(path: Path, labels: Path | None, found: Opened, limits: Limits, stack: ExitStack) -> None:
    files = file_sets.opened(path, stack, max_bytes=limits.max_bytes, scratch=limits.scratch)
    which = cifar.pickled(files.all)
    if which:
        raise cifar.refused(path.name, which)
    if webdataset.is_one(files):
        webdataset.read([(path.name, files)], found, limits.background)
        return
    arrays = [name for name in files.all if _is_array(name)]
    if arrays and not any(map(pictures.is_picture, files.names)):
        folder = Path(stack.enter_context(TemporaryDirectory(dir=limits.scratch)))
        if isinstance(files, file_sets.Folder):
            files.pin(files.all, folder, stack)
        else:
            file_sets.copied(files, files.all, folder)
        _folder(
            sorted((folder / name for name in files.all), key=lambda p: columns.natural(str(p))),
            labels,
            found,
            limits,
            stack,
        )
        return
    found.labels = labels.name if labels is not None else ""
    picture_sets.read(files, labels, found, limits.background)


def _is_array(name: str) -> bool:
    path = Path(name)
    return path.suffix.lower() in _ARRAY_ENDINGS or "ubyte" in path.name or path.name.endswith("-int.gz")


def _folder(
    paths: Sequence[Path], labels: Path | None, found: Opened, limits: Limits, stack: ExitStack
) -> None:
    """Read a folder whose files are arrays: parts of a split, columns in files of their own, shards of one table."""
    found.format = "folder"
    arrays = [path for path in paths if _is_array(path.name)]
    tables = [path for path in paths if columns.is_table(path.name)]
    names = {path.name: path for path in paths}
    kinds = {path.suffix.lower() for path in arrays}
    if arrays and all(cifar.CIFAR_10.fullmatch(p.name) or cifar.CIFAR_100.fullmatch(p.name) for p in arrays):
        assemble({"images": _cifar(arrays, names, found, limits)}, found, [])
    elif kinds == {".parquet"}:
        _parquet(arrays, found, limits)
    elif kinds == {".tar"}:
        shards = [(path.name, file_sets.opened(path, stack, max_bytes=limits.max_bytes)) for path in arrays]
        webdataset.read(shards, found, limits.background)
    elif kinds == {".mat"} and all(_is_norb(path) for path in arrays):
        _norb(arrays, found, limits)
    elif kinds == {".mat"} and all(_is_car(path) for path in arrays):
        assemble(_cars(arrays, found, limits), found, [])
    elif len(arrays) == 1 and len(arrays) + len(tables) <= 2:
        inner = _opened(arrays[0], labels or (tables[0] if tables else None), limits, stack)
        vars(found).update(vars(inner) | {"file": found.file})
    else:
        _loose((arrays, tables), labels, found, limits, stack)


def _loose(
    files: tuple[Sequence[Path], Sequence[Path]],
    labels: Path | None,
    found: Opened,
    limits: Limits,
    stack: ExitStack,
) -> None:
    """Read arrays in files of their own as those of one file; many of one image each are put together.

    files: those of arrays, and tables.
    """
    paths, tables = files
    lazies: dict[str, Lazy] = {}
    for path in paths:
        kind = format_of(path)
        inner = _arrays(kind, path, found, limits, stack)
        stem = _stem(path.name)
        for name, lazy in inner.items():
            lazies[stem if len(inner) == 1 else f"{stem}/{name}"] = lazy
        found.format = kind
    like = {(lazy.shape, lazy.dtype) for lazy in lazies.values()}
    shape = next(iter(like))[0] if like else ()
    if len(lazies) > 1 and len(like) == 1 and (len(shape) == 2 or (len(shape) == 3 and shape[2] in CHANNELS)):
        lazies = {"images": _stacked(list(lazies.values()), found.file)}
    lazies = {_idx_name(name): lazy for name, lazy in lazies.items()}
    told: list[Column] = []
    measures = {layouts.part_of(path.stem)[1]: path for path in tables if path.stem.endswith("morpho")}
    if labels is not None:
        told = _table(labels, found)
        found.labels = labels.name
    elif measures:
        told = _measures(measures, lazies, found)
    elif len(tables) == 1 and not [lazy for lazy in lazies.values() if len(lazy.shape) < 3]:
        told = _table(tables[0], found)
        found.labels = tables[0].name
    used = {column.where for column in told}
    for path in tables:
        if path.name not in used and path != labels:
            found.passed_over.append(
                PassedOver(
                    name=path.name,
                    why="which of the tables tells the targets is not known; name one as labels",
                )
            )
    assemble(lazies, found, told)


def _measures(measures: Mapping[str, Path], lazies: Mapping[str, Lazy], found: Opened) -> list[Column]:
    """Return the measures of Morpho-MNIST for the parts that are there, one after the other."""
    there = [part for part in layouts.PART_ORDER if any(layouts.part_of(name)[1] == part for name in lazies)]
    if set(there) != set(measures):
        return []
    read = [_table(measures[part], found) for part in there]
    if any([column.source for column in table] != [column.source for column in read[0]] for table in read):
        return []
    return [
        Column(each[0].source, None, np.concatenate([column.values for column in each]), each[0].where)
        for each in zip(*read, strict=True)
        if all(column.labels is None for column in each)
    ]


def _stem(name: str) -> str:
    for ending in (".gz", ".npy", ".npz", ".pt", ".pth", ".h5", ".hdf5", ".mat", ".idx"):
        name = name.removesuffix(ending)
    return name


def _idx_name(name: str) -> str:
    """Return ``train-images`` for ``train-images-idx3-ubyte``, and ``train-label`` for its labels."""
    return re.sub(r"labels?$", "label", re.sub(r"[-.]idx\d[-.](ubyte|int)$", "", name))


def _stacked(parts: Sequence[Lazy], file: str) -> Lazy:
    first = parts[0]

    def read(rows: int) -> Blocks:
        for start in range(0, len(parts), rows):
            yield np.stack([part.whole() for part in parts[start : start + rows]])

    def pick(rows: NDArray[np.int64]) -> NDArray[Any]:
        return np.stack([parts[row].whole() for row in rows])

    return Lazy("images", file, (len(parts), *first.shape), first.dtype, read, pick=pick)


def _cifar(paths: Sequence[Path], names: Mapping[str, Path], found: Opened, limits: Limits) -> Lazy:
    layout, images, labels, named, parts = cifar.read(paths, names, max_bytes=limits.max_bytes)
    found.format, found.layout = "cifar", layout
    for name, values in labels.items():
        known = named.get(name)
        fits = known is not None and values.max() < len(known)
        found.add(name, values, paths[0].name, kind="class", labels=known if fits else None)
    if len(set(parts)) > 1:
        found.add("split", np.array(parts), found.file, kind="split")
    return images


def _parquet(paths: Sequence[Path], found: Opened, limits: Limits) -> None:
    order = [*layouts.PART_ORDER, ""]
    parts = [layouts.part_of(path.stem)[1] for path in paths]
    ranked = sorted(zip(parts, paths, strict=True), key=lambda item: (order.index(item[0]), item[1].name))
    tables = parquet.Tables([path for _, path in ranked], found.file, max_bytes=limits.max_bytes)
    found.format = "parquet"
    found.passed_over += tables.passed_over
    if not tables.pictures:
        there = ", ".join(tables.columns) or "none"
        raise refuse(found.file, f"has no column of pictures as bytes; its columns are: {there}")
    for name in tables.pictures:
        try:
            found.arrays[name], found.sizes, found.modes = tables.lazy(name, limits.background)
        except InvalidInput as error:
            if len(tables.pictures) == 1:
                raise
            found.passed_over.append(PassedOver(name=name, why=str(error)))
    if not found.arrays:
        raise refuse(found.file, f"has no picture in: {', '.join(tables.pictures)}")
    if len({part for part, _ in ranked}) > 1 and all(part for part, _ in ranked):
        told = [part for (part, _), n in zip(ranked, tables.counts, strict=True) for _ in range(n)]
        found.add("split", np.array(told), found.file, kind="split")
    for name, values in tables.columns.items():
        labels = tables.labels.get(name)
        if values.dtype.kind == "O":
            try:
                values, labels = columns.classes_of(values.tolist(), name, found.file)  # noqa: PLW2901
            except InvalidInput as error:
                found.refuse_columns({name: error.fields["file"][0]})
                continue
        elif labels is not None and (values.min() < 0 or values.max() >= len(labels)):
            labels = None
        found.add(name, values, found.file, labels=labels)


def _is_norb(path: Path) -> bool:
    with path.open("rb") as file:
        return mat.is_norb(file.read(4))


def _norb(paths: Sequence[Path], found: Opened, limits: Limits) -> None:
    """Read what belongs to files of smallNORB: images in ``-dat``, categories in ``-cat``, facts in ``-info``."""
    found.format = "mat"
    parts = []
    for path in paths:
        if not path.name.endswith("-dat.mat"):
            continue
        lazies = []
        for ending in ("dat", "cat", "info"):
            beside = path.with_name(path.name.replace("-dat.mat", f"-{ending}.mat"))
            there = beside == path or file_sets.lies_beside(path, beside)
            lazies.append(mat.norb(beside, ending, max_bytes=limits.max_bytes) if there else None)
        images, cat, info = lazies
        assert images is not None
        parts.append((layouts.part_of(path.name)[1], images, cat, info))
    if not parts:
        raise refuse(found.file, "holds no images of smallNORB; they are in the file that ends in -dat.mat")
    parts.sort(key=lambda part: part[0] != "train")
    layouts.norb(found, parts)


def _is_car(path: Path) -> bool:
    return re.fullmatch(r"car_\d+_mesh\.mat", path.name) is not None


def _cars(paths: Sequence[Path], found: Opened, limits: Limits) -> dict[str, Lazy]:
    """Return the images of Cars3D: of each file an array ``(H, W, 3, 24, 4)``."""
    size = 0
    views = []
    for path in paths:
        held, _ = mat.arrays(path, max_bytes=limits.max_bytes)
        if "im" not in held or len(held["im"].shape) != 5 or held["im"].shape[2:] != (3, 24, 4):
            there = ", ".join(f"{name} {lazy.shape}" for name, lazy in held.items()) or "no array"
            raise refuse(path.name, f"holds {there}; a car is an array 'im' of shape (H, W, 3, 24, 4)")
        size += held["im"].nbytes
        check_bytes(found.file, size, limits.max_bytes)
        views.append(_car(path, held["im"], limits.max_bytes))
    images = joined(views, "im")
    layouts.cars3d(found, [path.stem for path in paths], images)
    return {"im": images}


def _car(path: Path, like: Lazy, max_bytes: int) -> Lazy:
    high, wide, *_ = like.shape

    def whole() -> NDArray[Any]:
        held, _ = mat.arrays(path, max_bytes=max_bytes)
        return held["im"].whole().transpose(3, 4, 0, 1, 2).reshape(-1, high, wide, 3)

    def read(_rows: int) -> Blocks:
        yield whole()

    return Lazy("im", path.name, (96, high, wide, 3), like.dtype, read, pick=lambda rows: whole()[rows])
