"""Which workers may take a job, and which devices of their machine it gets there."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from accsite.apps.training.models import Job, Worker
from accsite.apps.training.states import HELD

BETWEEN = ", "
"""Between the names in ``Job.device`` of a job that holds several."""


def suits(job: Job, worker: Worker) -> bool:
    """Return whether ``worker`` could begin ``job`` now: device, memory, and free devices for all its ranks."""
    return devices_for(job, worker) is not None


def devices_for(job: Job, worker: Worker) -> list[str] | None:
    """Return the devices that ``job`` would get of ``worker``, its own first; None if it does not suit now.

    A rank on a GPU gets one that no job of the machine holds, of nobody first, then of an idle worker, which takes
    nothing until it has it back. Ranks on a processor share it, at most one to a core.
    """
    spec = job.spec.get("train", job.spec) if isinstance(job.spec, dict) else {}
    device, least, ranks = spec.get("device", "auto"), spec.get("device_memory_gib"), spec.get("ranks", 1)
    if not fits(device, worker) or (least is not None and memory_gib(worker) < least):
        return None
    if ranks > capacity(device, worker):
        return None
    if device == "cpu" or not on_gpu(worker):
        return [worker.device]
    held = _held_by_others(job, worker)
    if worker.device in held and not settings.ACC_SHARE_DEVICES:
        return None
    names = [f"cuda:{index}" for index in range(capacity(device, worker))]
    others = [name for name in names if name != worker.device and name not in held]
    bound = _bound_to_others(worker) if ranks > 1 else set()
    free = [worker.device, *sorted(others, key=bound.__contains__)]
    return free[:ranks] if len(free) >= ranks else None


def lock_machine(worker: Worker) -> None:
    """Let nobody else be given a GPU of the worker's machine until the transaction ends."""
    if on_gpu(worker):
        rows = Worker.objects.select_for_update(no_key=True).filter(hostname=worker.hostname)
        list(rows.order_by("pk").values_list("pk"))


def fits(device: str, worker: Worker) -> bool:
    """Return whether the device of ``worker`` is of the kind, or the very one, that is asked for."""
    return on_gpu(worker) if device == "cuda" else device in {"auto", "cpu", worker.device}


def capacity(device: str, worker: Worker) -> int:
    """Return how many ranks of one job ``worker`` could ever hold: GPUs of its machine, or processor cores."""
    figures: dict[str, Any] = worker.telemetry if isinstance(worker.telemetry, dict) else {}
    if device == "cpu" or not on_gpu(worker):
        return int(figures.get("cores") or 1)
    return int(figures.get("gpus") or 1)


def on_gpu(worker: Worker) -> bool:
    """Return whether ``worker`` is bound to a GPU."""
    return worker.device.startswith("cuda")


def memory_gib(worker: Worker) -> float:
    """Return the memory of a worker's device, in GiB: a GPU's own, or its machine's for the CPU; 0 if unknown."""
    figures = worker.telemetry if isinstance(worker.telemetry, dict) else {}
    name = "memory_total_bytes" if on_gpu(worker) else "host_memory_total_bytes"
    return float(figures.get(name) or 0) / 2**30


def _held_by_others(job: Job, worker: Worker) -> set[str]:
    """Return the devices of the worker's machine that jobs of its other workers hold."""
    held = Job.objects.filter(state__in=HELD, worker__hostname=worker.hostname)
    names = held.exclude(pk=job.pk).exclude(worker=worker).values_list("device", flat=True)
    return {name for several in names for name in several.split(BETWEEN)}


def _bound_to_others(worker: Worker) -> set[str]:
    """Return the devices of the worker's machine that other workers are bound to."""
    others = Worker.objects.filter(hostname=worker.hostname).exclude(pk=worker.pk)
    return set(others.exclude(state=Worker.State.OFFLINE).values_list("device", flat=True))
