"""manage.py demo: the platform with real digits and one job in training."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from accsite.apps.access.services import make_sign_in_link
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.supervisor import demo
from accsite.supervisor.management.commands.up import CHECKS, add_platform_arguments, console_for
from accsite.supervisor.platform import Platform, platform
from accsite.supervisor.supervisor import Stopping
from accsite.supervisor.words import in_words

LINK_MINUTES = 60


class Command(BaseCommand):
    """Prepare the demo, run the platform, submit its job, and print the link that signs the browser in."""

    help = (
        "Runs the whole platform with scikit-learn's handwritten digits and one training job. A second run "
        "finds everything as it was. Ctrl-C saves and requeues the job. What its processes log goes to "
        "logs/platform.log in ACC_HOME; -v 2 shows it here instead."
    )

    requires_system_checks = CHECKS

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --once and --steps to the options of `up`."""
        add_platform_arguments(parser)
        parser.add_argument(
            "--once",
            action="store_true",
            help="wait for the job, print a summary, exit with the job's status",
        )
        parser.add_argument(
            "--steps",
            type=int,
            default=demo.STEPS,
            help="steps of the job, if one is submitted (%(default)s)",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the demo until a signal, or until its job has ended with --once."""
        console = console_for(options)
        try:
            with (
                in_words(),
                platform(
                    host=options["host"], port=options["port"], device=options["device"], console=console
                ) as running,
            ):
                job = self.prepare(running, options["steps"])
                if not options["once"]:
                    running.supervisor.run()
                    return
                job = demo.finished(job, running.supervisor.wait_for)
                lines = list(demo.summary(job, demo.evaluated(job, running.supervisor.wait_for)))
        except Stopping:
            if options["once"]:
                raise CommandError(
                    "stopped before the job ended; it is saved and goes on next time"
                ) from None
            return
        console.write("\n" + "\n".join(lines))
        if job.state != JobState.SUCCEEDED:
            sys.exit(1)

    def prepare(self, running: Platform, steps: int) -> Job:
        """Return the demo's job, with everything that it needs there, and tell the user where to look."""
        administrator = demo.ensure_administrator()
        wait, stage = running.supervisor.wait_for, running.console.stage
        demo.wait_for_plugins(wait)
        stage("the plugins are read")
        dataset = demo.ensure_dataset(administrator.user, wait)
        stage(f"the dataset {dataset.name} is there: {dataset.n:,} images")
        branch = demo.ensure_branch(administrator.user, dataset)
        job = demo.ensure_training(administrator.user, branch, steps=steps)
        stage(
            f"the branch {branch} is there: {branch.tasks.count()} tasks, job {job.pk} {job.get_state_display()}"
        )
        running.wait_until_ready()
        token = make_sign_in_link(administrator.user, minutes=LINK_MINUTES)
        path = reverse("access:link", args=[token])
        lines = ["Ctrl-C saves the job and stops everything."]
        if administrator.password:
            lines.append(f"Administrator: admin, password: {administrator.password} (shown only now)")
        lines.append(f"This link signs you in, once, within {LINK_MINUTES} minutes:")
        running.tell(*lines, f"Open {running.url}{path}")
        return job
