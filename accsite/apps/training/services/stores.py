"""Takes over runs of other trackers that lie on the server: of each what is not here yet, however often it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acc import journal
from acc.errors import AccError, InvalidInput
from acc.names import clean_name
from acc.track import stores
from acc.track.stores import StoredRun, Value
from acc.training.losses import series
from accsite.apps.datasets.services import on_server
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services.idempotency import enqueue_once, submitted_before
from accsite.apps.training import blocks
from accsite.apps.training.models import LossBlock, TrackedRun
from accsite.apps.training.services import tracked

KIND = "import_runs"
MOST_BYTES = 2**20
"""Of records that are taken in at once, in a transaction of their own."""


@dataclass(frozen=True)
class TakenOver:
    """What came of one run. job: its number, None if it was not taken; known: it was here, and was continued.

    points: values that came in now; left_out: those whose steps no run can have; faults: what could not be read.
    """

    branch: str
    job: int | None = None
    points: int = 0
    left_out: int = 0
    known: bool = False
    faults: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the line that tells it."""
        if self.job is None:
            return f"{self.branch}: not taken over"
        new = (
            f"{self.points:,} new point{'s' * (self.points != 1)}"
            if self.points or not self.known
            else "nothing new"
        )
        rest = f", {self.left_out:,} left out: their steps are below 0" if self.left_out else ""
        return f"{self.branch}, job {self.job}: {new}{rest}"


def submit_import_runs(
    *, actor: Any, path: object, experiment: object = "", idempotency_key: str | None = None
) -> Job:
    """Return a new job that takes over the runs at a path of the server, below ACC_IMPORT_ROOTS.

    experiment: the name of the one that they go to, by default as the store names it. Raises InvalidInput (path,
    experiment).
    """
    known = submitted_before(actor, idempotency_key)
    if known is not None:
        return known
    if not isinstance(path, str) or not path:
        raise InvalidInput(path="name a folder of event files, a folder mlruns, or MLflow's SQLite file")
    where = on_server.found(path)
    name = clean_name(experiment, field="experiment") if experiment else ""
    return enqueue_once(
        actor,
        idempotency_key,
        KIND,
        title=f"Import runs of {where.name}"[:160],
        spec={"path": str(where), "experiment": name},
        total_steps=1_000,
    )


def take_over(*, actor: Any, path: Path, experiment: str = "") -> Iterator[TakenOver]:
    """Yield what came of each run of a store: an event file or a folder of some, ``mlruns``, or MLflow's SQLite file.

    actor: whose runs they are; None, a shell: nobody's. A run that was taken over before, from here or by
    ``acc import-runs``, is continued by what it has beyond that. One that is refused keeps no other.
    Raises InvalidInput (path) for what holds no runs, AccError where a package is missing.
    """
    name = clean_name(experiment, field="experiment") if experiment else ""
    for run in stores.stored_runs(path, experiment=name):
        try:
            yield _take(actor, run)
        except AccError as error:
            yield TakenOver(run.branch, faults=(*run.faults, str(error)))


def _take(actor: Any, run: StoredRun) -> TakenOver:
    known = tracked.named(actor, run.id)
    if known is None:
        _, digest = journal.encode(run.begin)
        told = {name: value for name, value in run.begin.items() if name != "say"}
        begun = tracked.begin(actor=actor, told={**told, "digest": digest.hex(), "live": False})
        return _continue(actor, run, begun, run.beyond({}), known=begun.taken > 1)
    new = run.beyond(_kept(known.job))
    # A value that is no number has no place in what is kept; that there were some is told once of each series.
    told_of = set(known.job.events.filter(kind="alarm").values_list("payload__series", flat=True))
    for name in [name for name in new if series.raw(name) in told_of]:
        new[name] = [each for each in new[name] if np.isfinite(each.value)]
    return _continue(actor, run, known, {name: values for name, values in new.items() if values}, known=True)


def _continue(
    actor: Any, run: StoredRun, has: TrackedRun, new: Mapping[str, list[Value]], *, known: bool
) -> TakenOver:
    before, batch, first = bytes.fromhex(has.digest), bytearray(), has.taken
    points, records = 0, 0
    job = has.job_id

    def send() -> None:
        nonlocal first, records
        tracked.take(actor=actor, job_id=job, first=first, data=bytes(batch), live=False)
        first, records = first + records, 0
        batch.clear()

    for (header, values), count in stores.records_of(run, new, ended=has.job.state):
        record, before = journal.encode(header, values, before)
        if batch and len(batch) + len(record) > MOST_BYTES:
            send()
        batch += record
        points, records = points + count, records + 1
    if batch:
        send()
    return TakenOver(run.branch, job, points, run.left_out, known, run.faults)


def _kept(job: Job) -> dict[str, dict[int, float]]:
    """Return the values that a run has here: series, as its loop called it -> step -> value."""
    found: dict[str, dict[int, float]] = {}
    for row in LossBlock.objects.filter(job=job).order_by("start").iterator():
        steps = blocks.load(row.start, row.series, row.values, row.clock)
        for name, values in zip(steps.series, steps.values, strict=True):
            own = name.removeprefix(series.raw(""))
            if own != name:
                at = np.flatnonzero(~np.isnan(values))
                found.setdefault(own, {}).update(
                    zip((steps.start + at).tolist(), values[at].tolist(), strict=True)
                )
    return found
