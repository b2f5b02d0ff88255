"""How editors and synchronisers save a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def in_place(path: Path, text: str) -> None:
    """Save as ``open(path, "w")`` does."""
    path.write_text(text)


def renamed_onto(path: Path, text: str) -> None:
    """Save as most editors do: a draft beside the file, renamed onto it."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text)
    draft.replace(path)


def like_vim(path: Path, text: str) -> None:
    """Save as vim does: the old file becomes a backup, the new one is written, the backup goes."""
    backup = path.with_name(f"{path.name}~")
    if path.exists():
        path.rename(backup)
    path.write_text(text)
    backup.unlink(missing_ok=True)


def from_outside(path: Path, text: str) -> None:
    """Save as ``git checkout`` and synchronisers do: written elsewhere and moved in."""
    draft = path.parents[2] / "draft"
    draft.write_text(text)
    draft.replace(path)


WAYS: dict[str, Callable[[Path, str], None]] = {
    "in place": in_place,
    "rename onto": renamed_onto,
    "like vim": like_vim,
    "from outside": from_outside,
}
