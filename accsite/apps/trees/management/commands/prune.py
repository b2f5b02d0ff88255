"""``manage.py prune [EXPERIMENT] [--dry-run]``: make room, and keep what matters."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.template.defaultfilters import filesizeformat

from accsite.actions import NOT_ALLOWED
from accsite.apps.access.permissions import may_change
from accsite.apps.training.models import Experiment
from accsite.apps.training.selectors.jobs import find_experiment, seen_experiments
from accsite.apps.trees.services import retention
from accsite.cli import ServiceCommand


class Command(ServiceCommand):
    """Prune trees by the retention policy of each experiment, or of the site."""

    help = (
        "Keep checkpoints that are tagged, starred, needed, the newest of their branch or the best by a metric. "
        "Other leaves are deleted (and can be restored for a while); nodes that others grew from stay in the tree "
        "and lose their files for good. Exit status 2 for bad input."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("experiment", nargs="?", help="slug or name (default: all)")
        parser.add_argument(
            "--dry-run", action="store_true", help="only say what would go, and how many bytes"
        )
        parser.add_argument(
            "--last", type=int, help="the newest of each branch to keep, instead of the policy's"
        )
        parser.add_argument("--best", type=int, help="the best of the experiment to keep")
        parser.add_argument("--metric", help="by which number they are the best, such as loss/total")

    def run(self, **options: Any) -> None:
        """Prune, or say what would go."""
        rows: Iterable[Experiment] = seen_experiments(self.actor).order_by("slug")
        if options["experiment"]:
            rows = [find_experiment(self.actor, options["experiment"])]
        if self.actor is not None and not options["dry_run"]:
            mine = [row for row in rows if may_change(self.actor, row)]
            if options["experiment"] and not mine:
                raise PermissionDenied(NOT_ALLOWED)
            rows = mine
        policy = {name: options[name] for name in ("last", "best", "metric") if options[name] is not None}
        total = 0
        for experiment in rows:
            deletion = None
            if options["dry_run"]:
                plan = retention.plan_pruning(experiment, policy or None)
            else:
                plan, deletion = retention.prune(
                    actor=self.actor, experiment=experiment, policy=policy or None
                )
            total += plan.bytes
            self._tell(experiment, plan, str(deletion.id) if deletion else None, options)
        if not self.json:
            verb = "would be freed" if options["dry_run"] else "are freed"
            self.stdout.write(f"{total} bytes ({filesizeformat(total)}) {verb}")

    def _tell(
        self, experiment: Experiment, plan: retention.Plan, deletion: str | None, options: dict[str, Any]
    ) -> None:
        if self.json:
            fields = {"experiment": experiment.slug, "dry_run": options["dry_run"], "deletion": deletion}
            self.print_json({**fields, **plan.as_dict()})
            return
        would = "would be " if options["dry_run"] else ""
        self.stdout.write(f"{experiment.slug}: {len(plan.kept)} keep their weights, {plan.bytes} bytes go")
        for name, ids in (("deleted", plan.leaves), ("stripped of weights", plan.weights)):
            if ids:
                self.stdout.write(f"  {would}{name}: {', '.join(map(str, sorted(ids)))}")
        if deletion:
            self.stdout.write(f"  undo: manage.py checkpoints restore {experiment.slug} {deletion}")
