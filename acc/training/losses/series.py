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


def task_key(series: str) -> str | None:
    """Return the task that a series belongs to, or None for total, lr and grad_norm."""
    prefix, _, key = series.partition("/")
    return key if key and prefix in {"raw", "weighted"} else None
