"""``manage.py fork CHECKPOINT NAME``: a new branch that begins at a checkpoint."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from typing_extensions import override

from accsite.apps.training import selectors
from accsite.apps.training.services import experiments
from accsite.cli import SUCCEEDED, ServiceCommand, find_user


class Command(ServiceCommand):
    """Fork an experiment at a checkpoint."""

    help = "Make a branch that begins at a checkpoint, with its tasks, some or none. Exit status 2 for bad input."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        super().add_arguments(parser)
        parser.add_argument("checkpoint", help="id or tag")
        parser.add_argument("name", help="of the new branch")
        tasks = parser.add_mutually_exclusive_group()
        tasks.add_argument("--no-tasks", action="store_true", help="begin without tasks")
        tasks.add_argument("--task", action="append", metavar="KEY", help="copy this task; may be repeated")

    @override
    def run(self, **options: Any) -> int:
        """Fork, and print the branch."""
        actor = find_user(options["user"])
        checkpoint = selectors.find_checkpoint_named(actor, options["checkpoint"])
        made = experiments.create_branch(
            actor=actor,
            experiment=checkpoint.experiment,
            name=options["name"],
            from_checkpoint=checkpoint,
            copy_tasks=not options["no_tasks"],
            tasks=options["task"],
        )
        if options["json"]:
            self.print_json({"branch": made.pk, "slug": made.slug, "head": made.head_id})
        else:
            self.stdout.write(str(made))
        return SUCCEEDED
