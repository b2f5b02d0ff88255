"""``manage.py train --experiment digits --steps 500 --follow``: queue training of a branch from a shell."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from acc.specs import TrainSpec
from accsite.apps.jobs.following import JobCommand
from accsite.apps.training import selectors
from accsite.apps.training.services import jobs
from accsite.cli import add_spec_arguments, given


class Command(JobCommand):
    """Submit a train job; what it takes is what ``acc.specs.TrainSpec`` takes."""

    help = (
        "Queue training of a branch. Exit status: 0 queued (with --follow: succeeded), 1 failed or stopped, "
        "2 bad input, 130 detached by Ctrl-C while the job goes on."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--experiment", required=True, help="slug or name")
        parser.add_argument("--branch", default="main", help="slug or name (default: %(default)s)")
        parser.add_argument(
            "--follow", action="store_true", help="show progress and losses until the job ends"
        )
        parser.add_argument(
            "--stop-on-interrupt", action="store_true", help="with --follow: Ctrl-C stops the job"
        )
        add_spec_arguments(parser, TrainSpec)

    def run(self, **options: Any) -> int:
        found = selectors.find_branch(self.actor, options["experiment"], options["branch"])
        job = jobs.submit_training(actor=self.actor, branch=found, train=given(options, TrainSpec))
        return self.submitted(job, options)
