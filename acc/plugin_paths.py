"""Where plugins lie below a folder, by kind. Torch-free."""

from __future__ import annotations

from pathlib import Path

FOLDERS = ("tasks", "generators", "recipes", "models", "methods", "metrics")


def plugin_paths(root: Path) -> list[str]:
    """Return the relative paths of plugins: files, and the ``__init__.py`` of folders, by name below each kind.

    Names that begin with ``.`` or ``_`` are no plugins' (an editor's lock links, helpers).
    """
    return [
        str(file.relative_to(root))
        for folder in FOLDERS
        for file in sorted([*(root / folder).glob("*.py"), *(root / folder).glob("*/__init__.py")])
        if not file.relative_to(root / folder).parts[0].startswith((".", "_"))
    ]
