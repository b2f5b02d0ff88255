"""``manage.py evaluate 7 --suite ufr,traversals --json``: measure a checkpoint from a shell."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.files.storage import default_storage

from acc.errors import InvalidInput
from acc.specs import EvalSpec
from accsite.actions import perform
from accsite.apps.evaluation.actions.ask_checkpoint import AskCheckpoint
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.jobs.following import JobCommand
from accsite.apps.training import selectors
from accsite.apps.training.models import Checkpoint
from accsite.cli import SUCCEEDED, add_spec_arguments, given


class Command(JobCommand):
    """Answer from what is kept, or submit an evaluation; it takes what ``acc.specs.EvalSpec`` takes."""

    help = (
        "Measure a checkpoint, or the head of a branch; what was measured before is printed at once. "
        "Exit status: 0 printed or queued (with --follow: succeeded), "
        "1 failed, 2 bad input, 130 detached by Ctrl-C."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("node", nargs="?", type=int, metavar="checkpoint", help="id of the checkpoint")
        parser.add_argument("--checkpoint", type=int, help="the same")
        parser.add_argument("--experiment", help="slug or name, instead of a checkpoint")
        parser.add_argument("--branch", default="main", help="slug or name (default: %(default)s)")
        parser.add_argument("--follow", action="store_true", help="wait, and print what was measured")
        add_spec_arguments(parser, EvalSpec)

    def run(self, **options: Any) -> int:
        spec = given(options, EvalSpec)
        if "suite" in spec:
            spec["suite"] = [name.strip() for name in spec["suite"].split(",") if name.strip()]
        checkpoint = _checkpoint(self.actor, options)
        found = perform(AskCheckpoint, actor=self.actor, thing=checkpoint, data=spec)
        if isinstance(found, Evaluation):
            self._print(found)
            return SUCCEEDED
        status = self.submitted(found, options)
        if options["follow"]:
            self._print(Evaluation.objects.filter(job=found).first())
        return status

    def _print(self, evaluation: Evaluation | None) -> None:
        if evaluation is None:
            return
        for metric in evaluation.metrics.all():
            if self.json:
                self.print_json(
                    {
                        "task": metric.task_key,
                        "metric": metric.name,
                        "concept": metric.concept,
                        "group": metric.group,
                        "dataset": metric.dataset,
                        "value": metric.value,
                        "low": metric.low,
                        "high": metric.high,
                        "reason": metric.reason,
                    }
                )
                continue
            value = f"{metric.value:.5g}" if metric.value is not None else f"not measured: {metric.reason}"
            self.stdout.write(f"{metric.words}: {value}")
        for part in evaluation.parts.exclude(reason=""):
            self.tell({"part": part.name, "reason": part.reason}, f"{part.name}: not measured: {part.reason}")
        for artifact in evaluation.artifacts.all():
            where = default_storage.path(artifact.file)
            self.tell(
                {"kind": artifact.kind, "name": artifact.name, "file": where},
                f"{artifact.kind} {artifact.name}: {where}",
            )


def _checkpoint(actor: User | None, options: dict[str, Any]) -> Checkpoint:
    given_id = options["checkpoint"] if options["node"] is None else options["node"]
    if given_id is not None:
        return selectors.find_checkpoint(actor, given_id)
    if not options["experiment"]:
        raise InvalidInput(
            {"checkpoint": "name a checkpoint by --checkpoint, or a branch by --experiment and --branch"}
        )
    branch = selectors.find_branch(actor, options["experiment"], options["branch"])
    if branch.head is None:
        raise InvalidInput({"branch": f"{branch} has no checkpoint yet; train it first"})
    return branch.head
