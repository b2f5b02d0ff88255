"""SHA-256 of files and of source texts, by which the platform knows what it keeps. Torch-free."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_sha256(text: str) -> str:
    """Return the SHA-256 of a source text: that of its file, which is UTF-8.

    A text that is no UTF-8 (half of a surrogate pair, in what somebody sent) has one that is of no file.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
