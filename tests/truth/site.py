"""Fills a site in which every stored number is another, so that a number on a page tells whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import numpy as np
from django.contrib.auth.models import Group, User
from django.utils import timezone

from acc.data import AccDataset
from acc.specs import TargetSpec
from acc.training.protocols import Alarm, Baseline, PointBlock
from accsite import blobs
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import create_dataset
from accsite.apps.evaluation import services as evaluations
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.evaluation.tests.test_record import Measured, Result
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind, Task
from accsite.apps.training.services import events, points
from accsite.apps.training.tests import rows

LONG = "a name for which no column of any table was made and then some"
VALUES = 12
"""Different values of a series: few, so that hardly any number is one of them by chance."""


@dataclass
class Filled:
    """The site's rows, and who looks at it."""

    reader: User
    datasets: list[Dataset] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    bare: Branch | None = None
    """A branch on which nothing was done: the numbers of its pages are those that every such page has."""


def _numbers() -> Iterator[float]:
    """Yield numbers of which no two are alike in their first three digits and their size."""
    return (0.0123 * 1.0131**number for number in count())


class Filler:
    """Makes rows with numbers of their own."""

    def __init__(self) -> None:
        self.next = _numbers()
        self.steps = count(3011, 401)
        owner = User.objects.create_user("owner")
        owner.groups.add(Group.objects.get(name="administrator"))
        self.site = Filled(owner)
        rows.make_plugins()

    def dataset(self, name: str, rows_of_it: int) -> Dataset:
        """Return a dataset with a file behind it."""
        random = np.random.default_rng(rows_of_it)
        digit = np.arange(rows_of_it) % 5
        data = AccDataset(
            images=random.integers(0, 256, (rows_of_it, 1, 32, 32), dtype=np.uint8),
            targets={"digit": digit, "slant": random.normal(size=rows_of_it)},
            target_specs=(
                TargetSpec(name="digit", kind="class", classes=5),
                TargetSpec(name="slant", kind="real", unit="rad"),
            ),
        )
        draft = blobs.scratch() / f"{rows_of_it}.safetensors"
        data.save(draft)
        made = create_dataset(actor=self.site.reader, name=name, dataset_path=draft, provenance={})
        self.site.datasets.append(made)
        return made

    def branch(self, slug: str, name: str, dataset: Dataset) -> Branch:
        """Return a branch with three tasks, whose weights are its own."""
        branch = rows.make_branch(self.site.reader, slug)
        branch.experiment.name = name
        branch.experiment.save()
        for place, (key, label) in enumerate((("rec", "Pixels"), ("digit", LONG), ("kl", "Divergence"))):
            rows.make_task(
                branch, dataset, key, name=label, weight=next(self.next), position=place, colour_slot=place
            )
        self.site.branches.append(branch)
        return branch

    def job(
        self,
        what: str,
        branch: Branch,
        state: str,
        *,
        end: float | None = None,
        alarm: Alarm | None = None,
        **fields: Any,
    ) -> Job:
        """Return a train job with loss points, ended or not; ``end`` is its last loss of ``rec``."""
        total = next(self.steps)
        job = rows.make_job(
            branch, title=f"Train {what}", state=JobState.RUNNING, attempt=1, total_steps=total
        )
        tasks = list(branch.tasks.order_by("position"))
        job.spec["tasks"] = [_frozen(task) for task in tasks]
        job.save()
        names = tuple(f"{kind}/{task.key}" for kind in ("raw", "weighted") for task in tasks)
        made = total if state == JobState.SUCCEEDED else total - 1000
        values = np.array([[next(self.next) for _ in range(VALUES)] for _ in names], dtype=np.float32)
        values = values[:, np.arange(made) * VALUES // made]
        if end is not None:
            values[0, -1] = end
        everything = np.vstack([values, values[len(tasks) :].sum(0)])
        points.append(job.pk, 1, PointBlock(0, (*names, "total"), everything, 100.0, 103.7))
        events.record_baseline(job.pk, 1, "rec", Baseline(next(self.next), "the mean image"))
        events.record_baseline(job.pk, 1, "kl", Baseline(0.0, "a collapsed posterior", floor=True))
        if alarm is not None:
            events.record_alarm(job.pk, 1, alarm)
        last = {name: float(value) for name, value in zip((*names, "total"), everything[:, -1], strict=True)}
        changes: dict[str, Any] = {"state": state, **fields}
        if state in (JobState.SUCCEEDED, JobState.FAILED):
            changes |= {"started_at": timezone.now() - timedelta(minutes=7), "finished_at": timezone.now()}
        if state == JobState.SUCCEEDED:
            result = {task.key: last[f"raw/{task.key}"] for task in tasks} | {"total": last["total"]}
            changes |= {"result": {"losses": result}}
        Job.objects.filter(pk=job.pk).update(**changes)
        job.refresh_from_db()
        self.site.jobs[what] = job
        return job

    def checkpoint(self, job: Job, parent: Checkpoint | None = None, **fields: Any) -> Checkpoint:
        """Return what a job saved at its end, the head of its branch."""
        assert job.branch is not None
        losses = {
            f"raw/{key}": value for key, value in job.result.get("losses", {}).items() if key != "total"
        }
        made = rows.make_checkpoint(
            job.branch,
            job,
            parent=parent,
            losses={**losses, "total": job.result.get("losses", {}).get("total", next(self.next))},
            step=job.total_steps + (parent.step if parent else 0),
            job_step=job.total_steps,
            size_bytes=next(self.steps),
            spec=job.spec,
            **fields,
        )
        self.site.checkpoints.append(made)
        job.branch.head = made
        job.branch.save()
        return made

    def evaluation(self, checkpoint: Checkpoint, dataset: Dataset | None = None, **fields: Any) -> Evaluation:
        """Return what was measured of a checkpoint, on the datasets of its tasks or on another."""
        spec = {"suite": ["metrics"], **({"dataset": dataset.slug} if dataset else {}), **fields}
        job = rows.make_job(
            checkpoint.branch,
            kind=JobKind.EVALUATE,
            title=f"Evaluate {checkpoint.pk}",
            state=JobState.RUNNING,
            attempt=1,
            checkpoint=checkpoint,
            spec=spec,
        )
        measured = []
        for key, name in (("digit", "accuracy"), ("rec", "psnr"), ("kl", "loss")):
            value = next(self.next)
            measured.append(
                Measured(
                    key,
                    name,
                    value,
                    baseline=next(self.next),
                    low=value * 0.9713,
                    high=value * 1.0317,
                    higher_is_better=name != "loss",
                )
            )
        measured.append(Measured("digit", "top2", None, reason="no rows are held out"))
        made = evaluations.record(
            job.pk,
            1,
            Result(step=checkpoint.step, metrics=measured, dataset_key=dataset.slug if dataset else ""),
            seconds=next(self.next),
        )
        Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED, finished_at=timezone.now())
        self.site.evaluations.append(made)
        return made


def _frozen(task: Task) -> dict[str, Any]:
    return {
        "key": task.key,
        "name": task.name,
        "task_class": task.task_class,
        "dataset": task.dataset.slug,
        "weight": task.weight,
        "enabled": True,
    }


def fill() -> Filled:
    """Return a site with what tempts pages to say what is not so.

    Two experiments; jobs that ended well, diverged, failed, were lost, run and wait; one checkpoint measured on two
    datasets and with two seeds; one with no rows held out; one grown at random, of which nothing was measured.
    """
    make = Filler()
    digits, strokes = make.dataset("Handwritten digits", 211), make.dataset(f"Strokes {LONG}", 307)
    plain = make.branch("plain", "Plain", digits)
    other = make.branch("other", f"Other {LONG}", strokes)

    ended = make.job("well", plain, JobState.SUCCEEDED)
    first = make.checkpoint(ended)
    make.evaluation(first)
    make.evaluation(first, strokes)
    make.evaluation(first, strokes, seed=3)

    alarm = Alarm("divergence", 11, "Pixels rose to 5.5e7", "raw/rec")
    diverged = make.job("into the wall", plain, JobState.SUCCEEDED, end=5.5e7, alarm=alarm)
    second = make.checkpoint(diverged, first)
    make.evaluation(second)

    grown = rows.make_checkpoint(
        plain, parent=first, kind=CheckpointKind.EXPANDED, step=first.step, size_bytes=next(make.steps)
    )
    make.site.checkpoints.append(grown)

    lost = make.job("and lose", other, JobState.QUEUED, attempt=2, workers_lost=1)
    Job.objects.filter(pk=lost.pk).update(message="the worker w did not report")
    failed = make.job("and fail", other, JobState.FAILED, message="task Pixels, step 12: boom")
    third = make.checkpoint(make.job("elsewhere", other, JobState.SUCCEEDED))
    make.evaluation(third)
    assert failed.pk
    worker = rows.make_worker("w")
    make.job("now", plain, JobState.RUNNING, worker=worker, steps_per_second=next(make.next))
    rows.make_job(plain, title="Train later", total_steps=next(make.steps))
    make.site.bare = rows.make_branch(make.site.reader, "bare")
    return make.site
