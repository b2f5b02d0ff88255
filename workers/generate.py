"""Makes a dataset by a generator plugin and stores it."""

from __future__ import annotations

import time
from typing import Any

import structlog
from django.db import transaction

from acc.errors import InvalidInput
from accsite.apps.datasets import services as datasets
from accsite.apps.training.errors import Fenced
from accsite.apps.training.services import lifecycle
from workers.durable import insist
from workers.held import Held
from workers.materials import from_rows

log = structlog.get_logger(__name__)


def generate(held: Held) -> None:
    """Generate the dataset of a job and finish it."""
    job, spec = held.job, held.job.spec
    name = spec["generator"]
    began = time.perf_counter()
    with held.interruption.raising():
        found = next((each for each in from_rows([spec["source_sha256"]]) if each.name == name), None)
        if found is None:
            raise InvalidInput({"generator": f"{name!r} is not in the plugin source that the job was given"})
        generator = found.cls(**spec["params"])
        data = generator.generate(n=spec["n"], seed=spec["seed"], progress=lambda _: None)
        path = held.scratch() / f"job-{job.pk}-{held.attempt}-dataset.safetensors"
        data.save(path)
    provenance: dict[str, Any] = {
        "generator": name,
        "version": getattr(generator, "version", 1),
        "params": spec["params"],
        "n": spec["n"],
        "seed": spec["seed"],
        "source_sha256": spec["source_sha256"],
    }

    outcome = {"images": len(data), "seconds": round(time.perf_counter() - began, 3)}

    def record() -> int:
        if not path.exists():  # stored by a try whose transaction then failed
            data.save(path)
        with transaction.atomic():
            row = datasets.create_dataset(
                actor=job.created_by, name=spec["name"], dataset_path=path, provenance=provenance
            )
            # Together with the dataset: a job that was taken away leaves none behind.
            if not lifecycle.finish(job.pk, held.attempt, {**outcome, "dataset": row.pk}):
                raise Fenced(job.pk, held.attempt)
        return row.pk

    dataset = insist(record, given_up=held.lease.fenced)
    log.info("generated", dataset=dataset, seconds=outcome["seconds"])
