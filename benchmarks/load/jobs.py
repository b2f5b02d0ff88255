"""Two hundred train jobs on four workers, every doorbell rung twice: none may be lost, and none run twice."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.load.processor import exit_when_terminated
from benchmarks.platform_under_test import digits, started, wait_for
from benchmarks.rows import Row, report

JOBS, BRANCHES, WORKERS = 200, 40, 4
STEPS = 5
SECONDS = 240.0
SMALL = {"channels": 4, "grid": 4, "attention_heads": 1}


@contextmanager
def workers(home: Path) -> Iterator[None]:
    """Run the train workers and the sweeper, all real processes, the workers serving when this returns."""
    from accsite.apps.jobs.models import Worker

    launch = [sys.executable, "-m", "workers.launch", "--queues", "train", "--device", "cpu", "--name"]
    commands = [[*launch, f"load-{number}"] for number in range(WORKERS)]
    commands.append([sys.executable, "-m", "workers.sweeper"])
    online = Worker.objects.filter(name__startswith="load-", state=Worker.State.ONLINE)
    with ExitStack() as running:
        for command in commands:
            running.enter_context(started(command, home / "load.log"))
        wait_for(lambda: online.count() == WORKERS)
        yield


def branches(example: Any) -> list[Any]:
    """Return branches of experiments of their own, with the tasks of ``example`` and a small model."""
    from accsite.apps.training.models import AutoEvaluate
    from accsite.apps.training.services import experiments, tasks

    model = {**example.experiment.model_spec, "params": SMALL}
    made = []
    for number in range(BRANCHES):
        branch = experiments.create_experiment(actor=None, name=f"load {number}", model=model).branches.get()
        branch.auto_evaluate = AutoEvaluate.OFF
        branch.save()
        for task in example.tasks.all():
            tasks.add_task(
                actor=None,
                branch=branch,
                task_class=task.task_class,
                dataset=task.dataset.slug,
                weight=task.weight,
                factor=task.factor,
            )
        made.append(branch)
    return made


def ring_again(job: Any) -> None:
    """Send the message of a job a second time."""
    from accsite.celery import app

    app.send_task("workers.run_job", args=[job.pk], queue=job.queue)


def complete(job: Any) -> bool:
    """Return whether a job ran once, to its end, and every one of its steps is kept once."""
    from accsite.apps.jobs.models import JobEvent
    from accsite.apps.training.models import LossBlock

    claims = JobEvent.objects.filter(job=job, kind="state", payload__state="CLAIMED").count()
    rows = LossBlock.objects.filter(job=job).order_by("start").values_list("start", "count")
    end = 0
    for start, count in rows:
        if start != end:
            return False
        end += count
    return (job.state, job.attempt, claims, end, job.step) == ("SUCCEEDED", 1, 1, STEPS, STEPS)


def main() -> None:
    """Queue the jobs, wait for all, look at each, and print the rows."""
    with digits() as (example, home):
        from accsite.apps.jobs.models import Job
        from accsite.apps.jobs.states import TERMINAL
        from accsite.apps.training.services import jobs

        made = branches(example)
        with workers(home):
            spec = {"steps": STEPS, "batch_size": 16, "threads": 1, "checkpoint_every_seconds": None}
            started = time.perf_counter()
            submitted = []
            for number in range(JOBS):
                submitted.append(jobs.submit_training(actor=None, branch=made[number % BRANCHES], train=spec))
                ring_again(submitted[-1])
            accepted = time.perf_counter() - started
            asked = Job.objects.filter(pk__in=[job.pk for job in submitted])
            wait_for(lambda: not asked.exclude(state__in=TERMINAL).exists(), seconds=SECONDS, every=0.2)
            took = time.perf_counter() - started
        done = sum(complete(job) for job in asked)
        twice = asked.filter(attempt__gt=1).count()
        # Each job of a branch goes on where the one before it ended, so what is reached counts them again.
        level = sum(branch.checkpoints.filter(step=STEPS * JOBS // BRANCHES).exists() for branch in made)
    told = (
        f"{JOBS / took:.1f} jobs/s, {took:.0f} s; {JOBS / accepted:.0f} accepted/s; {twice} run twice; "
        f"{level} of {BRANCHES} branches at their last step"
    )
    report(Row(f"{JOBS} jobs on {WORKERS} workers, each done once", done, "jobs", JOBS, "higher", told))


if __name__ == "__main__":
    exit_when_terminated()
    main()
