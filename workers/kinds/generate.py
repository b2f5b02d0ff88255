"""Makes a dataset by a generator plugin and stores it."""

from __future__ import annotations

import time
from typing import Any

import structlog

from acc.errors import InvalidInput
from workers.job.context import JobContext
from workers.job.interruptible import interruptible
from workers.job.materials import from_rows
from workers.job.progress import Progress
from workers.job.store import draft_path, store_dataset, write_draft

log = structlog.get_logger(__name__)


@interruptible
def generate(context: JobContext) -> None:
    """Generate the dataset of a job and finish it."""
    spec = context.job.spec
    name = spec["generator"]
    began = time.perf_counter()
    path = draft_path(context)
    with context.interruption.raising(), Progress(context, spec["n"]) as progress:
        found = next((each for each in from_rows([spec["source_sha256"]]) if each.name == name), None)
        if found is None:
            raise InvalidInput({"generator": f"{name!r} is not in the plugin source that the job was given"})
        generator = found.cls(**spec["params"])
        data = generator.generate(n=spec["n"], seed=spec["seed"], progress=progress)
        write_draft(data, path)
        progress(1.0)
    provenance: dict[str, Any] = {
        "generator": name,
        "version": getattr(generator, "version", 1),
        "params": spec["params"],
        "n": spec["n"],
        "seed": spec["seed"],
        "source_sha256": spec["source_sha256"],
    }
    seconds = time.perf_counter() - began
    slug = store_dataset(context, data, path, name=spec["name"], provenance=provenance, seconds=seconds)
    log.info("generated", dataset=slug, seconds=round(seconds, 3))
