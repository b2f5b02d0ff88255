"""``manage.py fork CHECKPOINT NAME``: a new branch that begins at a checkpoint."""

from __future__ import annotations

from typing import Any

from accsite.actions.commands import OneActionCommand
from accsite.apps.trees.actions.fork_checkpoint import ForkCheckpoint


class Command(OneActionCommand):
    """Fork an experiment at a checkpoint."""

    help = "Make a branch that begins at a checkpoint, with its tasks, some or none. Exit status 2 for bad input."
    action = ForkCheckpoint
    called = "id or tag"
    behind = ("name",)

    def as_json(self, made: Any) -> Any:
        return {"branch": made.pk, "slug": made.slug, "head": made.head_id}
