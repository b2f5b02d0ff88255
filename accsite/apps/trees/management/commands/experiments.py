"""``manage.py experiments list``: the experiments, and what can be done to one, from a shell."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Count, Model, Q

from accsite.actions.commands import ActionCommand
from accsite.apps.training.models import Experiment
from accsite.apps.training.selectors.jobs import seen_experiments
from accsite.apps.trees.api.serializers import ExperimentSerializer
from accsite.cli import SUCCEEDED, behind_verbs


class Command(ActionCommand):
    """List experiments and act on them."""

    help = "List experiments, or act on one. Exit status: 0 done, 1 not allowed, 2 bad input."
    on: ClassVar[type[Model]] = Experiment
    called: ClassVar[str] = "slug or name"

    def add_verbs(self, verbs: Any) -> None:
        verbs.add_parser("list", parents=[behind_verbs()], help="all of them, by name")

    def run_own(self, **_options: Any) -> int:
        """List them, with what has grown from each."""
        rows = seen_experiments(self.actor).select_related("owner").order_by("name")
        if self.json:
            for row in rows.prefetch_related("branches"):
                self.print_json(ExperimentSerializer(row).data)
            return SUCCEEDED
        counted = rows.annotate(
            branch_count=Count("branches", distinct=True),
            node_count=Count("checkpoints", filter=Q(checkpoints__deleted_at=None), distinct=True),
        )
        self.print_table(
            ("Address", "Name", "Owner", "Seen by", "Branches", "Checkpoints"),
            [
                (
                    row.slug,
                    row.name,
                    row.owner or "",
                    row.get_visibility_display(),
                    row.branch_count,
                    row.node_count,
                )
                for row in counted
            ],
        )
        return SUCCEEDED
