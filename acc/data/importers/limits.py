"""What an import may take, and how a refusal is worded."""

from __future__ import annotations

import errno
from pathlib import Path

from acc.errors import InvalidInput

MAX_DATASET_BYTES = 16 * 2**30
MIN_SIDE, MAX_SIDE = 8, 1024
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def refuse(name: str, why: str) -> InvalidInput:
    """Return the error for the file ``name``: ``raise refuse(path.name, "is empty")``."""
    return InvalidInput({"file": f"'{name}' {why}"})


def check_bytes(name: str, size: int, max_bytes: int) -> None:
    """Raise InvalidInput (file) if ``size`` bytes unpacked are more than allowed."""
    if size > max_bytes:
        raise refuse(name, f"holds {size:,} bytes unpacked; at most {max_bytes:,} are allowed")


def check_side(name: str, side: int) -> None:
    """Raise InvalidInput (file) for images that are too small or too large to train on."""
    if not MIN_SIDE <= side <= MAX_SIDE:
        raise refuse(name, f"has images {side} pixels wide or high; {MIN_SIDE} to {MAX_SIDE} are allowed")


def is_disk_full(error: OSError) -> bool:
    """Return whether a write failed for want of room: disk, quota or the largest file allowed."""
    return error.errno in _FULL


def disk_full(folder: Path, size: int | None = None) -> InvalidInput:
    """Return the error for a disk that filled up half-way."""
    needed = f"{size:,} bytes are needed" if size is not None else "there was no room for the dataset"
    return InvalidInput(
        {"file": f"the disk of '{folder.name}' is full: {needed}; nothing was kept, make room and try again"}
    )
