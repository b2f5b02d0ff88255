"""Images in files of their own, in a folder or a zip archive: classes by subfolder, or targets from a CSV file."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from acc.data.dataset import AccDataset
from acc.data.importers import layouts
from acc.data.importers.arrays import dataset_of
from acc.data.importers.file_sets import FileSet, opened
from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, check_side, refuse
from acc.data.importers.looks import Look
from acc.data.importers.scale import Pixels

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
    pixels: Pixels = "uint8",
    progress: Callable[[float], None] = lambda _: None,
    look: Look | None = None,
) -> AccDataset:
    """Return the dataset of a folder or a zip archive of images, all of one size, upright as people see them.

    targets: a table beside it; else what ``layouts.find`` finds. Images are in the natural order of their names.
    Raises InvalidInput (file, scale, part, classes) naming the image.
    """
    look = look or Look()
    with opened(path, max_bytes=max_bytes) as files:
        strange = next(
            (
                name
                for name in files.names
                if name not in files.tables and PurePosixPath(name).suffix.lower() not in FORMATS
            ),
            None,
        )
        if strange is not None:
            known = ", ".join(sorted(FORMATS))
            raise refuse(path.name, f"holds '{strange}' among the images; they end in {known}")
        found = layouts.find(files, targets, path.name, look)
        images = _images(files, found.names, path.name, max_bytes, progress)
    return dataset_of(
        images,
        found.columns.values,
        file=path.name,
        table=found.table,
        labels=found.columns.labels,
        pixels=pixels,
        look=look,
    )


def _images(
    files: FileSet, names: Sequence[str], file: str, max_bytes: int, progress: Callable[[float], None]
) -> NDArray[np.uint8]:
    images: NDArray[np.uint8] | None = None
    for number, name in enumerate(names):
        if number % PROGRESS_EVERY == 0:
            progress(number / len(names))
        grey = images.shape[1] == 1 if images is not None else None
        size = (images.shape[3], images.shape[2]) if images is not None else None
        pixels = _pixels(files.read(name), name, file, grey=grey, size=size)
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
    """Return one image as ``(C, H, W) uint8``, turned as its EXIF says; sizes are compared before it is unpacked."""
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
        upright = _upright_size(picture)
        if size is not None and upright != size:
            there, first = (f"{width} x {height}" for width, height in (upright, size))
            raise refuse(
                file, f"has images of different sizes: '{name}' is {there}, those before it {first} pixels"
            )
        for side in picture.size:
            check_side(file, side)
        return _unpacked(picture, name, file, grey=grey)


def _upright_size(picture: Image.Image) -> tuple[int, int]:
    """Return width and height as people see the picture."""
    try:
        turned = picture.getexif().get(ExifTags.Base.Orientation)
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error):
        turned = None  # what cannot be read turns nothing
    width, height = picture.size
    # Pillow tells the size of a TIFF as it is turned already.
    return (height, width) if turned in {5, 6, 7, 8} and picture.format != "TIFF" else (width, height)


def _unpacked(picture: Image.Image, name: str, file: str, *, grey: bool | None) -> NDArray[np.uint8]:
    mode = picture.mode
    if mode not in GREY | COLOUR:
        raise refuse(file, f"holds '{name}' in mode {mode}; need 8 bits of grey or of red, green and blue")
    if grey and mode not in GREY:
        raise refuse(file, f"holds '{name}' in colour, and those before it are grey; save all alike")
    try:
        with contextlib.suppress(KeyError, struct.error):  # of EXIF data that are damaged
            picture = ImageOps.exif_transpose(picture)
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
