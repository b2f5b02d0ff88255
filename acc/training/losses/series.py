"""Names of the loss series, the same in the trainer, the database, the wire and the page. Torch-free."""

from __future__ import annotations

TOTAL = "total"
LEARNING_RATE = "lr"
GRAD_NORM = "grad_norm"


def raw(task_key: str) -> str:
    """Return the series of a task's loss before its weight."""
    return f"raw/{task_key}"


def weighted(task_key: str) -> str:
    """Return the series of a task's contribution to the total: weight times loss."""
    return f"weighted/{task_key}"


def part(task_key: str, name: str) -> str:
    """Return the series of one of the losses that a task returns by name, before any weight."""
    return f"part/{task_key}/{name}"


def part_of(series: str) -> tuple[str, str] | None:
    """Return task key and name of one of a task's losses by name; None for any other series."""
    prefix, _, rest = series.partition("/")
    key, _, name = rest.partition("/")
    return (key, name) if prefix == "part" and key and name else None


def owner(series: str) -> str | None:
    """Return the task that a series is of, or None for total, lr and grad_norm."""
    part = part_of(series)
    return part[0] if part else task_key(series)


def task_key(series: str) -> str | None:
    """Return the task whose loss a series is, or None for total, lr, grad_norm and losses by name."""
    prefix, _, key = series.partition("/")
    return key if key and prefix in {"raw", "weighted"} else None
