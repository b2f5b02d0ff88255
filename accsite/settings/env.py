"""Reads the environment once, strictly: a value of the wrong type is an error at start, never a surprise later."""

from __future__ import annotations

import os

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
