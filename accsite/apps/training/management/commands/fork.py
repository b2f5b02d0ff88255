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
        parser.add_argument(
            "--tasks", default=experiments.ALL_TASKS, metavar="all|none|KEY,KEY", help="which it takes along"
        )

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
            tasks=options["tasks"],
        )
        if options["json"]:
            self.print_json({"branch": made.pk, "slug": made.slug, "head": made.head_id})
        else:
            self.stdout.write(str(made))
        return SUCCEEDED
