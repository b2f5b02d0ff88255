"""MNIST (LeCun, Cortes & Burges): from files on disk, or fetched once from a mirror. Torch-free.

``ACC_DATA_DIR`` (default: ``data`` under ``ACC_HOME``) is where fetched files are kept and where folders of own files
lie. ``ACC_MNIST_MIRRORS`` names other mirrors, separated by commas: whoever runs the platform says where it may go.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.download import KnownFile, fetch
from acc.data.generator import Progress, no_progress
from acc.data.importers import idx
from acc.data.sampling import Labels
from acc.errors import InvalidInput

SIDE = 28
DIGITS = tuple(map(str, range(10)))
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = {
    "train-images-idx3-ubyte.gz": KnownFile(
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9_912_422
    ),
    "train-labels-idx1-ubyte.gz": KnownFile(
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881
    ),
    "t10k-images-idx3-ubyte.gz": KnownFile(
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877
    ),
    "t10k-labels-idx1-ubyte.gz": KnownFile(
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542
    ),
}
PARTS = {"train": ("train",), "test": ("t10k",), "all": ("train", "t10k")}
_MAX_BYTES = 2**30


def data_dir() -> Path:
    """Return the folder for data that generators read."""
    named = os.environ.get("ACC_DATA_DIR")
    return Path(named) if named else Path(os.environ.get("ACC_HOME", "var")) / "data"


def mirrors() -> tuple[str, ...]:
    """Return the addresses that files are fetched from, each ending in a slash."""
    named = [each.strip() for each in os.environ.get("ACC_MNIST_MIRRORS", "").split(",")]
    return tuple(each.rstrip("/") + "/" for each in named if each) or MIRRORS


def check_here(part: str) -> None:
    """Raise InvalidInput (preview) unless the files of a part have been fetched before."""
    names = [name for name in FILES if name.startswith(PARTS[part])]
    if not all((data_dir() / "mnist" / name).is_file() for name in names):
        size = sum(FILES[name].size for name in names) / 2**20
        raise InvalidInput({"preview": f"the files, {size:.1f} MiB, are fetched when the dataset is made"})


def load(part: str, folder: str = "", progress: Progress = no_progress) -> tuple[NDArray[np.uint8], Labels]:
    """Return images ``(N, 28, 28) uint8`` and the digit of each ``(N,)``.

    part: ``train``, ``test`` or ``all``. folder: one below ``data_dir()`` that holds the IDX files, gzipped or not;
    empty to fetch them. Raises InvalidInput (params.folder, download, file).
    """
    directory = _own(folder) if folder else data_dir() / "mnist"
    images: list[NDArray[Any]] = []
    labels: list[NDArray[Any]] = []
    stems = PARTS[part]
    for number, stem in enumerate(stems):

        def told(fraction: float, done: int = number) -> None:
            progress((done + fraction) / len(stems))

        names = (f"{stem}-images-idx3-ubyte.gz", f"{stem}-labels-idx1-ubyte.gz")
        paths = [_find(directory, name) if folder else _fetched(directory, name, told) for name in names]
        pictures, digits = (idx.array(path, max_bytes=_MAX_BYTES) for path in paths)
        _check(pictures, digits, paths)
        images.append(pictures)
        labels.append(digits.astype(np.int64))
    return (images[0], labels[0]) if len(images) == 1 else (np.concatenate(images), np.concatenate(labels))


def _fetched(directory: Path, name: str, progress: Progress) -> Path:
    urls = [mirror + name for mirror in mirrors()]
    try:
        return fetch(urls, directory / name, FILES[name], progress=progress)
    except InvalidInput as error:
        way = (
            f"Without a network, put the four IDX files into a folder of '{data_dir()}' and name it as folder"
        )
        raise InvalidInput({"download": [*error.fields["download"], way]}) from error


def _own(folder: str) -> Path:
    root = data_dir().resolve()
    directory = (root / folder).resolve()
    if not directory.is_relative_to(root):
        raise InvalidInput({"params.folder": f"{folder!r} lies outside '{root}'; name a folder within it"})
    if not directory.is_dir():
        raise InvalidInput({"params.folder": f"{folder!r} is no folder in '{root}'; put the IDX files there"})
    return directory


def _find(directory: Path, name: str) -> Path:
    for path in (directory / name, directory / name.removesuffix(".gz")):
        if path.is_file():
            return path
    raise InvalidInput(
        {"params.folder": f"'{directory.name}' holds neither '{name}' nor '{name.removesuffix('.gz')}'"}
    )


def _check(images: NDArray[Any], labels: NDArray[Any], paths: list[Path]) -> None:
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or not len(images):
        raise InvalidInput(
            {"file": f"'{paths[0].name}' holds {images.dtype} {images.shape}; MNIST is uint8 (N, 28, 28)"}
        )
    if labels.dtype != np.uint8 or labels.shape != (len(images),) or labels.max() > 9:
        raise InvalidInput(
            file=f"'{paths[1].name}' holds {labels.dtype} {labels.shape} up to {labels.max(initial=0)}; "
            f"need a digit, 0 to 9, for each of {len(images):,} images"
        )
