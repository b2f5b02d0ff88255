"""Images in files of their own, in a folder or a zip archive: classes by subfolder, or targets from a CSV file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acc.data.dataset import AccDataset
from acc.data.importers import columns
from acc.data.importers.arrays import dataset_of
from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, check_side, refuse
from acc.data.importers.places import Place, opened

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".pgm": "PPM",
    ".ppm": "PPM",
}
GREY = {"1", "L"}
COLOUR = {"RGB", "P", "RGBA", "LA", "PA", "CMYK", "YCbCr"}
PROGRESS_EVERY = 256


def read(
    path: Path,
    *,
    targets: Path | None = None,
    max_bytes: int = MAX_DATASET_BYTES,
    progress: Callable[[float], None] = lambda _: None,
) -> AccDataset:
    """Return the dataset of a folder or a zip archive of images, all of one size.

    targets: a CSV file beside it; else the only CSV file in it; else the first level of subfolders are the classes of
    the target ``label``. Images are in the natural order of their names. Raises InvalidInput (file) naming the image.
    """
    with opened(path, max_bytes=max_bytes) as place:
        tables = [name for name in place.names if name.lower().endswith(".csv")]
        names = sorted((name for name in place.names if name not in tables), key=columns.natural)
        strange = next((name for name in names if PurePosixPath(name).suffix.lower() not in FORMATS), None)
        if strange is not None:
            known = ", ".join(sorted(FORMATS))
            raise refuse(path.name, f"holds '{strange}' among the images; they end in {known}")
        if not names:
            raise refuse(path.name, "holds no image; at least one is needed")
        if targets is None and len(tables) > 1:
            raise refuse(
                path.name, f"holds the tables {', '.join(tables[:5])}; one of them is to tell the targets"
            )
        found = _targets(place, names, tables, targets, path.name)
        images = _images(place, names, path.name, max_bytes, progress)
    return dataset_of(images, found.values, file=path.name, labels=found.labels)


def _targets(
    place: Place, names: Sequence[str], tables: Sequence[str], given: Path | None, file: str
) -> columns.Columns:
    base = _common_folder([*names, *tables])
    inner = [name[len(base) :] for name in names]
    if given is not None or tables:
        try:
            data = given.read_bytes() if given is not None else place.read(tables[0])
        except OSError as error:
            raise refuse(
                given.name if given else file, f"cannot be read: {error.strerror or error}"
            ) from error
        name = given.name if given is not None else tables[0]
        found = columns.read(data, name, by_file=True)
        return columns.Columns(dict(columns.of_images(found, inner, name)), found.labels)
    folders = [name.split("/", 1)[0] if "/" in name else "" for name in inner]
    if not any(folders):
        return columns.Columns()
    if "" in folders:
        stray = inner[folders.index("")]
        raise refuse(file, f"has '{stray}' beside the folders of classes; put it into one of them")
    values, labels = columns.classes_of(folders, "folder", file)
    return columns.Columns({"label": values}, {"label": labels})


def _images(
    place: Place, names: Sequence[str], file: str, max_bytes: int, progress: Callable[[float], None]
) -> NDArray[np.uint8]:
    images: NDArray[np.uint8] | None = None
    for number, name in enumerate(names):
        if number % PROGRESS_EVERY == 0:
            progress(number / len(names))
        grey = images.shape[1] == 1 if images is not None else None
        size = (images.shape[3], images.shape[2]) if images is not None else None
        pixels = _pixels(place.read(name), name, file, grey=grey, size=size)
        if images is None:
            shape = (len(names), *pixels.shape)
            check_bytes(file, int(np.prod(shape, dtype=np.int64)), max_bytes)
            images = np.empty(shape, dtype=np.uint8)
        images[number] = pixels
    assert images is not None
    return images


def _pixels(
    data: bytes, name: str, file: str, *, grey: bool | None, size: tuple[int, int] | None
) -> NDArray[np.uint8]:
    """Return one image as ``(C, H, W) uint8``; sizes are compared before it is unpacked."""
    wanted = FORMATS[PurePosixPath(name).suffix.lower()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=sorted(set(FORMATS.values())))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise refuse(file, f"holds '{name}', which is far too large: {error}") from error
    except (OSError, ValueError, SyntaxError, TypeError) as error:
        raise refuse(
            file, f"holds '{name}', which is not {wanted} as its name says, nor any image"
        ) from error
    with picture:
        if picture.format != wanted:
            raise refuse(file, f"holds '{name}', which is {picture.format} and not {wanted} as its name says")
        if size is not None and picture.size != size:
            there, first = (f"{width} x {height}" for width, height in (picture.size, size))
            raise refuse(
                file, f"has images of different sizes: '{name}' is {there}, those before it {first} pixels"
            )
        for side in picture.size:
            check_side(file, side)
        return _unpacked(picture, name, file, grey=grey)


def _unpacked(picture: Image.Image, name: str, file: str, *, grey: bool | None) -> NDArray[np.uint8]:
    mode = picture.mode
    if mode not in GREY | COLOUR:
        raise refuse(file, f"holds '{name}' in mode {mode}; need 8 bits of grey or of red, green and blue")
    if grey and mode not in GREY:
        raise refuse(file, f"holds '{name}' in colour, and those before it are grey; save all alike")
    try:
        if "A" in mode or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            if picture.getchannel("A").getextrema() != (255, 255):
                raise refuse(file, f"holds '{name}', which is transparent in places; save it on a background")
        pixels: NDArray[Any] = np.asarray(
            picture.convert("L" if grey is not False and mode in GREY else "RGB")
        )
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise refuse(file, f"holds '{name}', which is damaged: {error}") from error
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _common_folder(names: Sequence[str]) -> str:
    """Return the folder that all lie in, with its ``/``, if there is only one and it holds folders or a table."""
    first = names[0].split("/", 1)[0]
    alone = all(name.startswith(f"{first}/") for name in names)
    deep = any("/" in name[len(first) + 1 :] or name.lower().endswith(".csv") for name in names)
    return f"{first}/" if alone and deep else ""
