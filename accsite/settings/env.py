"""Reads the environment once, strictly: a wrong value is an error at start, never a surprise later."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str | None = None) -> str:
    """Return the variable ``name``; raises ImproperlyConfigured if it is missing and has no default."""
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"the environment variable {name} must be set")
    return value


def flag(name: str, *, default: bool) -> bool:
    """Return the variable ``name`` as a boolean: 1, true, yes, on or 0, false, no, off."""
    value = os.environ.get(name)
    if value is None:
        return default
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"the environment variable {name} is {value!r}; use 1 or 0")


def number(name: str, default: float) -> float:
    """Return the variable ``name`` as a number."""
    value = os.environ.get(name)
    if value is None:
        return default
    try:
        return float(value)
    except ValueError:
        raise ImproperlyConfigured(f"the environment variable {name} is {value!r}; use a number") from None


def words(name: str, default: str = "") -> list[str]:
    """Return the variable ``name`` as a list of comma-separated words."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def paths(name: str) -> list[Path]:
    """Return the variable ``name`` as a list of folders, absolute and separated by colons."""
    found = [Path(text) for text in os.environ.get(name, "").split(os.pathsep) if text.strip()]
    for path in found:
        if not path.is_absolute():
            raise ImproperlyConfigured(
                f"the environment variable {name} names {str(path)!r}; give whole paths, such as /data"
            )
    return found


def choice(name: str, allowed: Sequence[str], default: str) -> str:
    """Return the variable ``name``, which must be one of ``allowed``."""
    value = os.environ.get(name, default)
    if value not in allowed:
        raise ImproperlyConfigured(f"the environment variable {name} is {value!r}; use {', '.join(allowed)}")
    return value


def json_object(name: str, default: dict[str, Any]) -> dict[str, Any]:
    """Return the variable ``name`` as a JSON object."""
    value = os.environ.get(name)
    if value is None:
        return default
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        # The value may hold a secret, so it is not repeated.
        raise ImproperlyConfigured(f"the environment variable {name} is not a JSON object such as {{}}")
    return parsed


def require(*names: str) -> None:
    """Raise ImproperlyConfigured naming every one of ``names`` that is missing or empty."""
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise ImproperlyConfigured(f"these environment variables must be set: {', '.join(missing)}")


def note(path: Path) -> str:
    """Return the text of a file that another process may have left, or an empty string."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
