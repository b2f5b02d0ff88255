"""What an import may take, and how a refusal is worded."""

from __future__ import annotations

from acc.errors import InvalidInput

MAX_DATASET_BYTES = 8 * 2**30


def refuse(name: str, why: str) -> InvalidInput:
    """Return the error for the file ``name``: ``raise refuse(path.name, "is empty")``."""
    return InvalidInput({"file": f"'{name}' {why}"})


def check_bytes(name: str, size: int, max_bytes: int) -> None:
    """Raise InvalidInput (file) if ``size`` bytes unpacked are more than allowed."""
    if size > max_bytes:
        raise refuse(name, f"holds {size:,} bytes unpacked; at most {max_bytes:,} are allowed")
