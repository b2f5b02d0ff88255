"""What a generator makes of some parameters: a few images and their targets, as JSON. The checked child makes it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from acc.data.pixels import as_uint8
from acc.errors import InvalidInput, PluginError
from acc.render.sprites import sprite
from acc.text import clean_data, in_words, text_of

IMAGES = 8


def preview_of(
    path: str, text: str, sha256: str, *, name: str, params: dict[str, Any], seed: int, n: int = IMAGES
) -> dict[str, Any]:
    """Return a sprite of ``n`` images in one row (``png`` in base64), their targets, and the shape of an image.

    ``error`` holds a sentence, and ``fields`` those of single fields, when it cannot be made.
    """
    from acc.plugins.load import load_source

    try:
        plugin = next(each for each in load_source(text, path, sha256) if each.name == name)
        data = plugin.cls(**params).preview(n, seed)
        rows = np.unique(np.linspace(0, len(data) - 1, min(n, len(data))).round().astype(np.int64))
        images = as_uint8(np.asarray(data.images[rows]))
        targets = {column.name: data.targets[column.name][rows].tolist() for column in data.target_specs}
    except StopIteration:
        return failure(f"the source defines no {name} any more")
    except Exception as error:
        return failure_of(error, name, most="a preview is given; lower its parameters")
    return {
        "error": "",
        "png": base64.b64encode(sprite(images, columns=len(images))).decode(),
        "n": len(images),
        "channels": data.image.channels,
        "height": data.image.height,
        "width": data.image.width,
        "targets": [column.model_dump() for column in data.target_specs],
        "values": targets,
    }


def failure_of(error: Exception, name: object, *, most: str) -> dict[str, Any]:
    """Return the report of what was not made because of an error in the code of ``name``.

    most: in words, how much memory that may ask for.
    """
    if isinstance(error, InvalidInput):
        return failure(text_of(error), {field: list(messages) for field, messages in error.fields.items()})
    if isinstance(error, PluginError):
        return failure(error.message)
    if isinstance(error, MemoryError):
        return failure(f"{name} asks for more memory than {most}")
    return failure(f"{name} raises {in_words(error)}")


def failure(message: str, fields: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """Return the report of a preview that could not be made."""
    found: dict[str, Any] = clean_data({"error": message, "fields": fields or {}})
    return found
