"""How long a study takes against its jobs' time over the workers: 3 arms x 5 seeds on four workers.

Trainings and evaluations wait, for as long as they are told, and compute next to nothing, so that four workers are
four also on two cores. Jobs' time is from the start of each job's work to its end, whatever waited in between.
"""

from __future__ import annotations

import hashlib
import sys
import time
from contextlib import ExitStack
from typing import Any

from benchmarks.platform_under_test import digits, started, wait_for
from benchmarks.rows import Row, report

ARMS, SEEDS, WORKERS = 3, 5, 4
STEPS, STEP_SECONDS, MEASURE_SECONDS = 12, 1.0, 0.05
MOST = 1.1
PATIENCE_SECONDS = 600
PACED = """
import time
from acc.api import Task

class Paced(Task):
    \"\"\"Waits in each step, and with each batch that is measured.\"\"\"

    metrics = {{"waited": True}}

    def compute_loss(self, output, batch, head):
        time.sleep({step})
        return output.mean.square().mean()

    def evaluate(self, output, batch, head):
        time.sleep({measure})
        return {{"seen": output.mean.new_ones(1)}}

    def summarise(self, sums):
        return {{"waited": 1.0}}
"""


def arms(first: Any) -> list[Any]:
    """Return branches of which each does nothing but wait; they differ in a weight."""
    from django.utils import timezone

    from accsite.apps.datasets.models import Dataset
    from accsite.apps.registry.models import Plugin, PluginKind, PluginSource
    from accsite.apps.training.services import experiments, tasks

    text = PACED.format(step=STEP_SECONDS, measure=MEASURE_SECONDS)
    source = PluginSource.objects.create(
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        path="tasks/paced.py",
        text=text,
        on_disk_at=timezone.now(),
    )
    Plugin.objects.create(kind=PluginKind.TASK, name="Paced", label="Paced", source=source)
    made = []
    for number in range(ARMS):
        branch = experiments.create_branch(
            actor=None, experiment=first.experiment, name=f"arm {number}", tasks=experiments.NO_TASKS
        )
        tasks.add_task(
            actor=None,
            branch=branch,
            task_class="Paced",
            dataset=Dataset.objects.get(),
            weight=1.0 + number,
        )
        made.append(branch)
    return made


def seconds_of(jobs: Any) -> list[float]:
    """Return how long each job worked."""
    return [(job.finished_at - job.started_at).total_seconds() for job in jobs]


def main() -> None:
    with digits() as (branch, home), ExitStack() as entered:
        from accsite.apps.jobs.models import Job, Worker
        from accsite.apps.studies.services import studies

        for name, queues in [
            *((f"worker-{number}", "train,eval,default") for number in range(WORKERS)),
            ("worker-recipe", "recipe"),
        ]:
            command = [sys.executable, "-m", "workers.launch", "--queues", queues, "--device", "cpu"]
            entered.enter_context(started([*command, "--name", name], home / f"{name}.log"))
        entered.enter_context(started([sys.executable, "-m", "workers.sweeper"], home / "sweeper.log"))
        wait_for(
            lambda: Worker.objects.filter(state=Worker.State.ONLINE).count() == WORKERS + 1,
            what="the workers to be ready",
        )
        first, *others = arms(branch)
        study = studies.repeat_branch(
            actor=None, branch=first, others=others, seeds=SEEDS, outcome="paced/waited", steps=STEPS
        )
        began = time.monotonic()
        study = studies.start_study(actor=None, study=study)

        def over() -> bool:
            return Job.objects.filter(recipe_run__study=study.pk, finished_at__isnull=False).exists()

        wait_for(over, seconds=PATIENCE_SECONDS, what="the study to end")
        took = time.monotonic() - began
        if study.results.filter(state="succeeded").count() != ARMS * SEEDS:
            raise SystemExit(list(study.results.values_list("arm", "seed", "state", "message")))
        theirs = Job.objects.filter(recipe_steps__run=study.run)
        trained = seconds_of(theirs.filter(kind="train"))
        measured = seconds_of(theirs.filter(kind="evaluate"))
    ideal = (sum(trained) + sum(measured)) / WORKERS
    report(
        Row(
            name=f"study of {ARMS} arms x {SEEDS} seeds on {WORKERS} workers",
            value=took / ideal,
            unit="x",
            goal=MOST,
            better="lower",
            measured=f"{took:.1f} s for {len(trained)} trainings of {sum(trained) / len(trained):.1f} s and "
            f"{len(measured)} evaluations of {sum(measured) / len(measured):.1f} s",
            baseline=f"their time over {WORKERS} workers: {ideal:.1f} s",
        )
    )


if __name__ == "__main__":
    main()
