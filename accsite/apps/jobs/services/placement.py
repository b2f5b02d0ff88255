"""Which workers may take a job, and which devices, of one machine or of several, its ranks get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Max

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job, JobPart, Worker
from accsite.apps.jobs.services import leases
from accsite.apps.jobs.states import HELD, JobState

BETWEEN = ", "
"""Between the names in ``Job.device`` of a job that holds several."""


@dataclass(frozen=True)
class Allocation:
    """What a job gets of one worker's machine: a device for each of the ranks there, the worker's own first."""

    worker: Worker
    devices: tuple[str, ...]

    @property
    def held(self) -> str:
        """What the job holds there, in words: a rank on a processor holds the device of its worker."""
        own = self.devices if on_gpu(self.worker) and "cpu" not in self.devices else (self.worker.device,)
        return BETWEEN.join(own)


@dataclass(frozen=True)
class Demand:
    """What a job asks of devices: a kind or a name, the least memory in GiB, and for how many ranks."""

    device: str
    least: float | None
    ranks: int

    @classmethod
    def by(cls, job: Job) -> Demand:
        spec = job.spec.get("train", job.spec) if isinstance(job.spec, dict) else {}
        return cls(spec.get("device", "auto"), spec.get("device_memory_gib"), spec.get("ranks", 1))

    def __str__(self) -> str:
        memory = "" if self.least is None else f" with {self.least:g} GiB of memory"
        return f"{'a GPU' if self.device == 'cuda' else 'a device' if self.device == 'auto' else self.device}{memory}"

    def suits(self, worker: Worker) -> bool:
        """Return whether the device of ``worker`` is what is asked for, free or not."""
        return fits(self.device, worker) and (self.least is None or memory_gib(worker) >= self.least)


def suits(job: Job, worker: Worker) -> bool:
    """Return whether ``worker`` could begin ``job`` now: device, memory, and free devices for all its ranks."""
    return places_for(job, worker) is not None


def places_for(job: Job, worker: Worker) -> list[Allocation] | None:
    """Return where the ranks of ``job`` would be, ``worker`` first; None if it cannot begin there now.

    A rank on a GPU gets one that no job of the machine holds, of nobody first, then of an idle worker, which takes
    nothing until it has it back. Ranks on a processor share it, at most one to a core. A job that fits on one
    machine waits for one; only one that no machine is large enough for is spread over several.
    """
    asked = Demand.by(job)
    if not asked.suits(worker):
        return None
    if asked.ranks > capacity(asked.device, worker) and not _is_to_be_spread(asked, worker, job.queue):
        return None
    own = _free(asked, job, worker)
    if not own:
        return None
    places, missing = [Allocation(worker, own)], asked.ranks - len(own)
    others = _idle_elsewhere(asked, job, worker) if missing else iter(())
    while missing and (other := next(others, None)) is not None:
        devices = _free(asked, job, other, at_most=missing)
        if devices and other.hostname not in {place.worker.hostname for place in places}:
            places.append(Allocation(other, devices))
            missing -= len(devices)
    return None if missing else places


def takes_part(worker: Worker) -> bool:
    """Return whether ``worker`` runs ranks of a job that a worker of another machine holds, and so takes none."""
    return JobPart.objects.live().filter(worker=worker).exists()


def lock_machines(job: Job, worker: Worker) -> None:
    """Let nobody else be given what ``job`` might get with ``worker`` until the transaction ends."""
    rows = Worker.objects.select_for_update(no_key=True).order_by("pk")
    if Demand.by(job).ranks > 1 and worker.address:
        list(rows.exclude(state=Worker.State.OFFLINE).values_list("pk"))
    elif on_gpu(worker) or worker.address:
        list(rows.filter(hostname=worker.hostname).values_list("pk"))


def most_ranks(device: str, workers: list[Worker]) -> int:
    """Return how many ranks a job could ever have: of one machine, or of all that reach each other; 0 if none."""
    able = [worker for worker in workers if fits(device, worker)]
    together: dict[bool, dict[str, int]] = {}  # on GPUs or not -> machine -> ranks
    for worker in able:
        if worker.address:
            machines = together.setdefault(_on_gpu(device, worker), {})
            machines[worker.hostname] = capacity(device, worker)
    return max(
        [*(capacity(device, worker) for worker in able), *(sum(each.values()) for each in together.values())],
        default=0,
    )


def fits(device: str, worker: Worker) -> bool:
    """Return whether the device of ``worker`` is of the kind, or the very one, that is asked for."""
    return on_gpu(worker) if device == "cuda" else device in {"auto", "cpu", worker.device}


def capacity(device: str, worker: Worker) -> int:
    """Return how many ranks of one job the machine of ``worker`` could ever hold: its GPUs, or its cores."""
    figures: dict[str, Any] = worker.telemetry if isinstance(worker.telemetry, dict) else {}
    return int(figures.get("gpus" if _on_gpu(device, worker) else "cores") or 1)


def check_device(device: Any, *, queue: str) -> None:
    """Raise InvalidInput unless ``device`` is auto, cpu, or offered by an online worker of the queue."""
    offered = sorted(worker.device for worker in Worker.objects.serving(queue))
    generic = ["cuda"] if any(device.startswith("cuda") for device in offered) else []
    if device in ["auto", "cpu", *generic, *offered]:
        return
    right = ", ".join(dict.fromkeys(["auto", "cpu", *offered]))
    raise InvalidInput(device=f"{device!r} is offered by no worker that is online; choose one of: {right}")


def check_memory(least: float | None, *, queue: str) -> None:
    """Raise InvalidInput if online workers of the queue are known, and none has so much device memory (GiB)."""
    most = max((memory_gib(worker) for worker in Worker.objects.serving(queue)), default=None)
    if least is not None and most is not None and most < least:
        raise InvalidInput(
            device_memory_gib=f"{least:g} GiB is more than any online worker has; the largest has {most:.1f} GiB"
        )


def on_gpu(worker: Worker) -> bool:
    """Return whether ``worker`` is bound to a GPU."""
    return worker.device.startswith("cuda")


def memory_gib(worker: Worker) -> float:
    """Return the memory of a worker's device, in GiB: a GPU's own, or its machine's for the CPU; 0 if unknown."""
    figures = worker.telemetry if isinstance(worker.telemetry, dict) else {}
    name = "memory_total_bytes" if on_gpu(worker) else "host_memory_total_bytes"
    return float(figures.get(name) or 0) / 2**30


def _on_gpu(device: str, worker: Worker) -> bool:
    """Return whether ranks of a job that asks for ``device`` compute on GPUs with ``worker``."""
    return device != "cpu" and on_gpu(worker)


def _is_to_be_spread(asked: Demand, worker: Worker, queue: str) -> bool:
    """Return whether a job may hold several machines, ``worker``'s among them: it is too large for any one."""
    if not worker.address:
        return False
    able = [each for each in Worker.objects.serving(queue) if asked.suits(each)]
    return asked.ranks > max((capacity(asked.device, each) for each in able), default=0)


def _idle_elsewhere(asked: Demand, job: Job, worker: Worker) -> Iterator[Worker]:
    """Yield the idle workers of other machines that ``worker`` could share a job with.

    They have spoken within a lease and, if the job was lost before, since then: it may have been lost with one of them.
    """
    idle = Worker.objects.idle().exclude(hostname=worker.hostname).exclude(address="")
    idle = idle.filter(leases.heard(1))
    lost = job.events.filter(kind="state", payload__state=JobState.LOST).aggregate(at=Max("created_at"))["at"]
    if lost is not None:
        idle = idle.filter(heartbeat_at__gt=lost)
    for other in idle.order_by("pk"):
        alike = _on_gpu(asked.device, other) == _on_gpu(asked.device, worker)
        if job.queue in other.queues and alike and asked.suits(other):
            yield other


def _free(asked: Demand, job: Job, worker: Worker, at_most: int | None = None) -> tuple[str, ...]:
    """Return the devices that ``job`` may have of the worker's machine now, the worker's own first; () if none."""
    wanted = asked.ranks if at_most is None else at_most
    if not _on_gpu(asked.device, worker):
        return ("cpu",) * min(wanted, capacity(asked.device, worker))
    held = _held_by_others(job, worker)
    if worker.device in held and not settings.ACC_SHARE_DEVICES:
        return ()
    names = [f"cuda:{index}" for index in range(capacity(asked.device, worker))]
    others = [name for name in names if name != worker.device and name not in held]
    bound = _bound_to_others(worker) if wanted > 1 else set()
    return (worker.device, *sorted(others, key=bound.__contains__))[:wanted]


def _held_by_others(job: Job, worker: Worker) -> set[str]:
    """Return the devices of the worker's machine that jobs of its other workers hold, or parts of jobs of elsewhere."""
    held = Job.objects.filter(state__in=HELD, worker__hostname=worker.hostname)
    names = held.exclude(pk=job.pk).exclude(worker=worker).values_list("device", flat=True)
    parts = JobPart.objects.live().filter(worker__hostname=worker.hostname).exclude(job=job)
    there = {name for devices in parts.values_list("devices", flat=True) for name in devices}
    return there | {name for several in names for name in several.split(BETWEEN)}


def _bound_to_others(worker: Worker) -> set[str]:
    """Return the devices of the worker's machine that other workers are bound to."""
    others = Worker.objects.filter(hostname=worker.hostname).exclude(pk=worker.pk)
    return set(others.exclude(state=Worker.State.OFFLINE).values_list("device", flat=True))
