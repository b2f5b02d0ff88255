"""Images in files of their own: decoded one by one, upright as people see them, at the depth that they have."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from acc.data.importers.found import Blocks, Lazy
from acc.data.importers.limits import refuse
from acc.data.importers.mapping import Background, SizeFound
from acc.errors import InvalidInput

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
DEEP = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
"""Grey of 16 bits, as Pillow tells it."""
COLOUR = {"RGB", "P", "RGBA", "LA", "PA", "CMYK", "YCbCr"}
_TRANSPARENT = {"1": "LA", "L": "LA", "RGB": "RGBA", "P": "PA"}
"""Modes in which a colour, and no channel of its own, may tell what is transparent."""
LOOKED_AT = 500
"""So many pictures tell which sizes and depths there are; each is checked when it is read."""
MAX_PIXELS = 1 << 26
_UNREADABLE = (OSError, ValueError, SyntaxError, TypeError, EOFError, IndexError, KeyError, struct.error)


@dataclass(frozen=True)
class Pictures:
    """Pictures in their order. content: takes a number and returns a name and the bytes of the picture.

    file: who is blamed. background: what is laid under what is transparent; empty: such pictures are refused.
    """

    count: int
    content: Callable[[int], tuple[str, bytes]]
    name: Callable[[int], str]
    file: str
    background: Background = ""

    def lazy(self, name: str, where: str) -> tuple[Lazy, tuple[SizeFound, ...], tuple[str, ...]]:
        """Return them as an array that is read picture by picture, the sizes and the modes that were seen.

        The array is ``(N, H, W, 3)``, or ``(N, H, W)`` if all are grey; H and W of the most frequent size.
        """
        sizes: Counter[tuple[int, int]] = Counter()
        modes: Counter[str] = Counter()
        for number in np.unique(np.linspace(0, self.count - 1, LOOKED_AT).astype(np.int64)):
            with self._opened(int(number)) as picture:
                sizes[_upright_size(picture)] += 1
                mode = _mode(picture, self.name(int(number)), self.file)
                modes[_TRANSPARENT.get(mode, mode) if "transparency" in picture.info else mode] += 1
        (width, height), _ = sizes.most_common(1)[0]
        grey = set(modes) <= GREY | DEEP | {"LA"}
        deep = set(modes) <= DEEP
        dtype = np.dtype(np.uint16 if deep else np.uint8)
        found = tuple(
            SizeFound(height=tall, width=wide, count=count) for (wide, tall), count in sizes.most_common()
        )
        lazy = Lazy(
            name,
            where,
            (self.count, height, width) if grey else (self.count, height, width, 3),
            dtype,
            lambda rows: self._blocks(rows, grey=grey, deep=deep),
            pick=lambda rows: np.stack([self._pixels(int(row), grey=grey, deep=deep) for row in rows]),
            row=lambda number: f"'{self.name(number)}'",
            ragged=True,
        )
        return lazy, found, tuple(mode for mode, _ in modes.most_common())

    def on(self, background: Background) -> Pictures:
        return replace(self, background=background)

    def _blocks(self, rows: int, *, grey: bool, deep: bool) -> Blocks:
        """Yield the pictures that follow each other and are of one size together."""
        block: list[NDArray[Any]] = []
        for number in range(self.count):
            pixels = self._pixels(number, grey=grey, deep=deep)
            if block and (len(block) == rows or pixels.shape != block[0].shape):
                yield np.stack(block)
                block = []
            block.append(pixels)
        if block:
            yield np.stack(block)

    def _opened(self, number: int) -> Image.Image:
        name, data = self.content(number)
        wanted = FORMATS.get(PurePosixPath(name).suffix.lower())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                picture = Image.open(io.BytesIO(data), formats=sorted(set(FORMATS.values())))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise refuse(self.file, f"holds '{name}', which is far too large: {error}") from error
        except _UNREADABLE as error:
            what = f"{wanted} as its name says, nor any image" if wanted else "an image that is known"
            raise refuse(self.file, f"holds '{name}', which is not {what}") from error
        if wanted is not None and picture.format != wanted:
            raise refuse(
                self.file,
                f"holds '{name}', which is {picture.format} and not {wanted} as its name says; "
                "give it the name of what it is",
            )
        if picture.width * picture.height > MAX_PIXELS:
            raise refuse(
                self.file,
                f"holds '{name}' of {picture.width} x {picture.height} pixels, which is far too large",
            )
        return picture

    def _pixels(self, number: int, *, grey: bool, deep: bool) -> NDArray[Any]:
        """Return a picture as ``(H, W)`` if all are grey, else ``(H, W, 3)``."""
        name = self.name(number)
        with self._opened(number) as picture:
            mode = _mode(picture, name, self.file)
            if (mode in DEEP) != deep:
                bits = 16 if mode in DEEP else 8
                raise refuse(self.file, f"holds '{name}' of {bits} bits among others; save all alike")
            if grey and mode in COLOUR - {"LA"}:
                raise refuse(
                    self.file, f"holds '{name}' in colour, and those looked at are grey; save all alike"
                )
            try:
                upright = picture
                with contextlib.suppress(KeyError, struct.error):  # of EXIF data that are damaged
                    upright = ImageOps.exif_transpose(picture)
                if deep:
                    return _of_16_bits(np.asarray(upright), name, self.file)
                if "A" in mode or "transparency" in upright.info:
                    upright = self._opaque(upright.convert("RGBA"), name)
                return np.asarray(upright.convert("L" if grey else "RGB"))
            except InvalidInput:
                raise
            except _UNREADABLE as error:
                raise refuse(self.file, f"holds '{name}', which is damaged: {error}") from error

    def _opaque(self, picture: Image.Image, name: str) -> Image.Image:
        if picture.getchannel("A").getextrema() == (255, 255):
            return picture
        if not self.background:
            raise InvalidInput(
                {
                    "steps.background": f"'{self.file}' holds '{name}', which is transparent in places; choose what is "
                    "laid under it: black or white"
                }
            )
        below = Image.new("RGBA", picture.size, self.background)
        return Image.alpha_composite(below, picture)


def is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in FORMATS


def in_files(names: Sequence[str], read: Callable[[str], bytes], file: str) -> Pictures:
    """Return the pictures of files with these names, which ``read`` reads."""
    return Pictures(
        len(names), lambda number: (names[number], read(names[number])), lambda number: names[number], file
    )


def _mode(picture: Image.Image, name: str, file: str) -> str:
    mode = picture.mode
    if mode not in GREY | DEEP | COLOUR:
        raise refuse(
            file, f"holds '{name}' in mode {mode}; need 8 or 16 bits of grey, or red, green and blue"
        )
    return mode


def _of_16_bits(values: NDArray[Any], name: str, file: str) -> NDArray[np.uint16]:
    if values.min() < 0 or values.max() > 65535:
        raise refuse(file, f"holds '{name}' of more than 16 bits of grey; save it in 8 or 16")
    return values.astype(np.uint16)


def _upright_size(picture: Image.Image) -> tuple[int, int]:
    """Return width and height as people see the picture."""
    try:
        turned = picture.getexif().get(ExifTags.Base.Orientation)
    except _UNREADABLE:
        turned = None  # what cannot be read turns nothing
    width, height = picture.size
    # Pillow tells the size of a TIFF as it is turned already.
    return (height, width) if turned in {5, 6, 7, 8} and picture.format != "TIFF" else (width, height)
