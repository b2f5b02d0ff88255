"""The kinds of jobs that make datasets, one class each."""

from __future__ import annotations

from typing import Any

from accsite.api.lookup import only
from accsite.apps.datasets.api.schema import GenerateRequest
from accsite.apps.datasets.services import generation
from accsite.apps.jobs.kinds import Kind
from accsite.apps.jobs.models import Job, JobKind


class Generate(Kind):
    """Makes a dataset by a generator."""

    name = JobKind.GENERATE
    queue = "default"
    body = "workers.kinds.generate.generate"
    request = GenerateRequest

    def submit(self, *, actor: Any, data: dict[str, Any], idempotency_key: str | None) -> Job:
        """Make a dataset, unless the same was made before."""
        asked = only(data, "generator", "params", "n", "seed", "name", "force")
        return generation.submit_generation(
            actor=actor, idempotency_key=idempotency_key, **{"generator": "", **asked}
        )

    def retry(self, *, actor: Any, job: Job) -> Job:
        asked = {name: job.spec.get(name) for name in ("generator", "params", "n", "seed", "name")}
        return generation.submit_generation(actor=actor, **asked)


class Import(Kind):
    """Takes a file in as a dataset, or only looks what is in it."""

    name = JobKind.IMPORT
    queue = "default"
    body = "workers.kinds.imports.take_in"

    def retry(self, *, actor: Any, job: Job) -> Job:
        """Refuse: the file is gone with the job."""
        del actor
        raise self.cannot_retry(job, "its file is sent again instead")


ALL = (Generate(), Import())
