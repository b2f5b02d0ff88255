"""The text of a plugin file: its name in tracebacks, the lines around an error. Torch-free."""

from __future__ import annotations

CONTEXT_LINES = 3  # shown before and after the line at fault


def filename_of(path: str, sha256: str) -> str:
    """Return what tracebacks call this version of a plugin file: ``<plugin tasks/a.py 0123456789ab>``."""
    return f"<plugin {path} {sha256[:12]}>"


def plugin_path(filename: str) -> str:
    """Return the plugin file that a name of ``filename_of`` is of, or '' for any other name."""
    if not (filename.startswith("<plugin ") and filename.endswith(">")):
        return ""
    return filename.removeprefix("<plugin ").rpartition(" ")[0]


def context_of(text: str, line: int | None) -> str:
    """Return the numbered source lines around ``line`` (1-based), marked by ``>``; empty without one."""
    if line is None:
        return ""
    lines = text.splitlines()
    first, last = max(1, line - CONTEXT_LINES), min(len(lines), line + CONTEXT_LINES)
    return "\n".join(
        f"{'>' if number == line else ' '} {number:4} | {lines[number - 1]}"
        for number in range(first, last + 1)
    )
