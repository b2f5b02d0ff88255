"""What is stored of each thing, read from the API and the database: what pages may say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django.test import Client

from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.training.models import Branch, Checkpoint, LossBlock
from accsite.apps.training.selectors import loss_history
from tests.truth.reading import numbers_in
from tests.truth.site import Filled


class Known:
    """Numbers by the address of the thing that holds them."""

    def __init__(self, site: Filled) -> None:
        self.client = Client()
        self.client.force_login(site.reader)
        self.site = site
        self._answers: dict[str, Any] = {}

    def api(self, where: str) -> Any:
        """Return an answer of the API."""
        if where not in self._answers:
            answer = self.client.get(f"/api/v1/{where}")
            assert answer.status_code == 200, (where, answer.content[:300])
            self._answers[where] = json.loads(answer.content)
        return self._answers[where]

    def of(self, *addresses: str) -> set[float]:
        """Return all numbers that the API holds of some things."""
        return {number for where in addresses for number in numbers_in(self.api(where))}

    def job(self, job: Job) -> set[float]:
        """Return what is held of a job: its row, its events, and every loss point."""
        where = f"jobs/{job.pk}/"
        found = self.of(where, f"{where}events/")
        if job.total_steps:
            found |= {job.step / job.total_steps, job.total_steps - job.step}
        if LossBlock.objects.filter(job=job).exists():
            header, columns = loss_history(job)
            found |= {float(value) for column in columns for value in column}
            found |= self.against(job, dict(zip(header["series"], columns, strict=True)))
        ended = job.result.get("losses", {})
        found |= self.against(job, {f"raw/{task}": [value] for task, value in ended.items()})
        if job.checkpoint is not None:
            found |= {float(job.checkpoint.step)}
        return found

    @staticmethod
    def against(job: Job, columns: Mapping[str, Any]) -> set[float]:
        """Return how far each task's losses are from its baseline, as a share of it."""
        found: set[float] = set()
        for payload in job.events.filter(kind="baseline").values_list("payload", flat=True):
            base = payload.get("loss")
            if base:
                losses = columns.get(f"raw/{payload['task']}", ())
                found |= {(float(value) - base) / abs(base) for value in losses}
        return found

    def checkpoint(self, checkpoint: Checkpoint) -> set[float]:
        """Return what is held of a checkpoint: its row, and all that was measured of it."""
        return self.of(f"checkpoints/{checkpoint.pk}/", f"evaluations/?checkpoint={checkpoint.pk}")

    def branch(self, branch: Branch) -> set[float]:
        """Return what is held of a branch: its tasks, its jobs, its checkpoints."""
        found = self.of(
            f"branches/{branch.pk}/", f"tasks/?branch={branch.pk}", f"evaluations/?branch={branch.pk}"
        )
        for job in branch.jobs.all():
            found |= self.job(job)
        for checkpoint in branch.checkpoints.all():
            found |= self.checkpoint(checkpoint)
        return found | self.of(f"experiments/{branch.experiment.slug}/") | self.datasets

    @cached_property
    def datasets(self) -> set[float]:
        """Return what is held of all datasets."""
        return self.of("datasets/", *(f"datasets/{dataset.slug}/" for dataset in self.site.datasets))

    @cached_property
    def everything(self) -> set[float]:
        """Return what is held of the whole site."""
        found = self.datasets
        for branch in Branch.objects.all():
            found = found | self.branch(branch)
        return found

    def thing(self, address: str) -> set[float] | None:
        """Return what is held of the one thing that an address of a page is about; None if it is about none."""
        parts = address.strip("/").split("/")
        if parts[0] == "jobs" and len(parts) == 2 and parts[1].isdecimal():
            return self.job(Job.objects.get(pk=parts[1]))
        if parts[0] in ("checkpoints", "evaluate") and len(parts) > 1 and parts[1].isdecimal():
            return self.checkpoint(Checkpoint.objects.get(pk=parts[1]))
        if parts[0] == "datasets" and len(parts) == 2 and parts[1] not in ("new", "import", "compare"):
            return self.of(f"datasets/{parts[1]}/")
        return None


def train_jobs() -> list[Job]:
    """Return the train jobs of the site."""
    return list(Job.objects.filter(kind=JobKind.TRAIN))
