"""``manage.py expand CHECKPOINT --where latent --amount 4 --follow``: grow a trained model from a shell."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from typing_extensions import override

from acc.expansion import ExpansionSpec
from accsite.apps.jobs.following import follow
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_state
from accsite.apps.training import selectors
from accsite.apps.training.services import expansion
from accsite.cli import SUCCEEDED, ServiceCommand, add_spec_arguments, find_user, given


class Command(ServiceCommand):
    """Queue the growing of a checkpoint's model."""

    help = (
        "Grow a checkpoint's model: where is encoder_stage, decoder_stage, latent or factor_group; start is "
        "identity (no output changes) or random. Exit status: 0 queued (with --follow: done), 1 failed, 2 bad input."
    )

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        super().add_arguments(parser)
        parser.add_argument("checkpoint", help="id or tag")
        parser.add_argument(
            "--branch", "--branch-name", help="begin a new branch of this name (default: the head's own)"
        )
        parser.add_argument("--follow", action="store_true", help="wait until it is done")
        add_spec_arguments(parser, ExpansionSpec)

    @override
    def run(self, **options: Any) -> int:
        """Submit, and follow if asked to."""
        actor = find_user(options["user"])
        checkpoint = selectors.find_checkpoint_named(actor, options["checkpoint"])
        job = expansion.submit_expansion(
            actor=actor,
            checkpoint=checkpoint,
            expansion=given(options, ExpansionSpec),
            branch_name=options["branch"],
        )
        if options["follow"]:
            return follow(job, out=self.out, as_json=options["json"])
        if options["json"]:
            self.print_json(job_state(Job.objects.get(pk=job.pk)))
        else:
            self.stdout.write(f"job {job.pk} queued: {job.title}; `manage.py jobs follow {job.pk}` shows it")
        return SUCCEEDED
