"""Reads the workers, what they hold, and how their devices are doing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from acc.messages import WorkerFigures
from accsite.apps.jobs.models import Job, JobPart, Worker
from accsite.apps.jobs.states import HELD, JobState

ORDER = {state: place for place, state in enumerate(Worker.State)}


@dataclass(frozen=True)
class Figure:
    """One figure of telemetry: its name, its text with unit, and, of a share, percent from 0 to 100.

    ``history``: how it was in the last quarter of an hour, a mean for every 15 seconds; None where nobody looked.
    """

    key: str
    name: str
    text: str
    percent: float | None = None
    history: Sequence[float | None] = ()


@dataclass(frozen=True)
class WorkerRow:
    """A worker, the jobs it holds, the name of its device, its figures, and whether more jobs are hidden.

    ``waiting``: by queue that it serves, how many jobs wait there.
    """

    worker: Worker
    jobs: list[Job]
    device_name: str
    figures: list[Figure]
    hidden: bool = False
    waiting: dict[str, int] = field(default_factory=dict)

    @property
    def drawn(self) -> list[Figure]:
        """The figures that have a history."""
        return [figure for figure in self.figures if figure.history]

    @property
    def told(self) -> list[Figure]:
        """The figures that are only told."""
        return [figure for figure in self.figures if not figure.history]


def worker_rows(workers: Iterable[Worker] | None = None, *, seen_by: Any = None) -> list[WorkerRow]:
    """Return the workers, those online first, with five queries for them all; ``seen_by``: only a user's jobs.

    A job of several machines is with each worker that runs ranks of it.
    """
    rows = list(Worker.objects.all() if workers is None else workers)
    rows.sort(key=lambda worker: (ORDER[Worker.State(worker.state)], worker.name))
    held: dict[int | None, list[Job]] = {}
    hidden = set()
    seen = (
        None
        if seen_by is None
        else set(Job.objects.visible_to(seen_by).filter(state__in=HELD).values_list("pk"))
    )
    jobs = Job.objects.filter(state__in=HELD, worker__in=rows).select_related("branch__experiment")
    parts = JobPart.objects.live().filter(worker__in=rows).select_related("job__branch__experiment")
    for worker_id, job in [
        *((job.worker_id, job) for job in jobs),
        *((part.worker_id, part.job) for part in parts),
    ]:
        if seen is None or (job.pk,) in seen:
            held.setdefault(worker_id, []).append(job)
        else:
            hidden.add(worker_id)
    waiting = Job.objects.filter(state=JobState.QUEUED).counts_by("queue")
    return [
        WorkerRow(
            worker,
            held.get(worker.pk, []),
            str(worker.telemetry.get("device_name", "")),
            list(figures(worker.telemetry)),
            worker.pk in hidden,
            {queue: waiting.get(queue, 0) for queue in worker.queues},
        )
        for worker in rows
    ]


def figures(telemetry: dict[str, Any]) -> Iterator[Figure]:
    """Yield the figures of a heartbeat, the device's own first; what it does not tell is left out.

    Those of the host say so: every worker of a machine tells the same, whether it works or not.
    """
    history: dict[str, list[float | None]] = telemetry.get("history") or {}
    for key, name in (("utilisation_percent", "GPU"), ("cpu_percent", "CPU, whole machine")):
        if key in telemetry:
            value = float(telemetry[key])
            yield Figure(key, name, f"{value:.0f} %", value, history.get(key, ()))
    for prefix, name in (("memory", "GPU memory"), ("host_memory", "memory, whole machine")):
        used, total = telemetry.get(f"{prefix}_used_bytes"), telemetry.get(f"{prefix}_total_bytes")
        if used is not None and total:
            text = f"{used / 2**30:.1f} of {total / 2**30:.1f} GiB"
            drawn = history.get(f"{prefix}_percent", ())
            yield Figure(f"{prefix}_bytes", name, text, 100 * used / total, drawn)
    if "temperature_celsius" in telemetry:
        text = f"{telemetry['temperature_celsius']:.0f} °C"
        yield Figure(
            "temperature_celsius", "temperature", text, history=history.get("temperature_celsius", ())
        )
    if "load" in telemetry:
        yield Figure(
            "load", "load of the machine", f"{telemetry['load']:.2f} on {telemetry.get('cores', '?')} cores"
        )


def worker_figures() -> dict[str, WorkerFigures]:
    """Return what open pages are told of all workers every few seconds: texts by figure, and the last sign."""
    now = timezone.now()
    return {
        str(worker.pk): {
            "seen": max(0, round((now - worker.heartbeat_at).total_seconds())),
            "figures": {figure.key: (figure.text, figure.percent) for figure in figures(worker.telemetry)},
        }
        for worker in Worker.objects.exclude(state=Worker.State.OFFLINE)
    }


def offered_devices(queue: str = "train") -> list[str]:
    return sorted({worker.device for worker in Worker.objects.serving(queue)})
