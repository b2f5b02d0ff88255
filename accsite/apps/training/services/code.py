"""Refuses at once what would run plugin code that may not run here; the worker asks the same before it loads any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from accsite.apps.registry import approval
from accsite.apps.training.models import Checkpoint


def code_of(checkpoint: Checkpoint) -> set[str]:
    """Return the hashes of the plugin sources that a checkpoint was made with, as its row names them."""
    named = {task["task_class"]: task.get("source_sha256", "") for task in checkpoint.spec.get("tasks", ())}
    # What an imported file carries stands under ``plugins``, whatever its tasks say.
    return {sha256 for sha256 in {**named, **checkpoint.spec.get("plugins", {})}.values() if sha256}


def require_code(checkpoints: Iterable[Checkpoint], field: str) -> None:
    """Raise NotApproved(field) unless all that these checkpoints were made with may run on this server."""
    approval.require({sha256 for each in checkpoints for sha256 in code_of(each)}, field=field)


def refused_code(checkpoint: Checkpoint) -> list[str]:
    """Return a sentence for each plugin source because of which a checkpoint can only be looked at; [] for none."""
    return approval.refusals((sha256, None) for sha256 in sorted(code_of(checkpoint)))


def naming_code(spec: Mapping[str, Any], carried: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return a specification whose ``plugins`` name what a checkpoint's file carries: class -> sha256.

    carried: ``acc.training.checkpoints.header.Header.plugins``. These sources run when the checkpoint is measured or
    grown, whatever else the file says of itself.
    """
    return {
        **spec,
        "plugins": {**spec.get("plugins", {}), **{name: each["sha256"] for name, each in carried.items()}},
    }
