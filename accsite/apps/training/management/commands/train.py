"""``manage.py train --experiment digits --steps 500 --follow``: queue training of a branch from a shell."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from typing_extensions import override

from acc.specs import TrainSpec
from accsite.apps.jobs.following import follow
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_state
from accsite.apps.training import selectors
from accsite.apps.training.services import jobs
from accsite.cli import SUCCEEDED, ServiceCommand, add_spec_arguments, find_user, given


class Command(ServiceCommand):
    """Submit a train job; what it takes is what ``acc.specs.TrainSpec`` takes."""

    help = (
        "Queue training of a branch. Exit status: 0 queued (with --follow: succeeded), 1 failed or stopped, "
        "2 bad input, 130 detached by Ctrl-C while the job goes on."
    )

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--experiment", required=True, help="slug or name")
        parser.add_argument("--branch", default="main", help="slug or name (default: %(default)s)")
        parser.add_argument(
            "--follow", action="store_true", help="show progress and losses until the job ends"
        )
        parser.add_argument(
            "--stop-on-interrupt", action="store_true", help="with --follow: Ctrl-C stops the job"
        )
        add_spec_arguments(parser, TrainSpec)

    @override
    def run(self, **options: Any) -> int:
        actor = find_user(options["user"])
        found = selectors.find_branch(actor, options["experiment"], options["branch"])
        job = jobs.submit_training(actor=actor, branch=found, train=given(options, TrainSpec))
        if options["follow"]:
            return follow(
                job,
                out=self.out,
                as_json=options["json"],
                stop_on_interrupt=options["stop_on_interrupt"],
            )
        if options["json"]:
            self.print_json(job_state(Job.objects.get(pk=job.pk)))
        else:
            self.stdout.write(f"job {job.pk} queued: {job.title}; `manage.py jobs follow {job.pk}` shows it")
        return SUCCEEDED
