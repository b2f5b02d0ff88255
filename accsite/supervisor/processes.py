"""The table of the platform's processes: what `manage.py up` starts and docker-compose.yml agrees with."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

# What every process is told by the environment, whoever starts it.
SHARED_ENVIRONMENT = ("DJANGO_SETTINGS_MODULE", "ACC_HOME", "DATABASE_URL", "REDIS_URL")
LOOPBACK = "127.0.0.1"
WEB_PORT = 8000


@dataclass(frozen=True)
class Process:
    """One long-running process.

    ``command`` starts with the interpreter; ``queues`` are the Celery queues it serves, none for the rest;
    ``grace_seconds`` is how long it may take to put its work down after SIGTERM.
    """

    name: str
    command: tuple[str, ...]
    queues: tuple[str, ...] = ()
    grace_seconds: float = 10.0


def table(
    *,
    python: str = sys.executable,
    host: str = LOOPBACK,
    port: int = WEB_PORT,
    device: str = "auto",
    prefix: str = "",
) -> list[Process]:
    """Return the processes of one machine; Redis and the database come before them.

    ``device`` is where the train worker computes (auto, cpu, cuda:0); ``prefix`` goes before the workers'
    names, which must differ between machines.
    """
    return [
        Process(
            "web",
            (python, "-m", "daphne", "-v", "0", "-b", host, "-p", str(port), "accsite.asgi:application"),
        ),
        worker("worker-train", ("train",), python=python, device=device, prefix=prefix),
        worker("worker-eval", ("eval", "default"), python=python, device="cpu", prefix=prefix),
        worker("worker-recipe", ("recipe",), python=python, device="cpu", prefix=prefix),
        Process("sweeper", (python, "-m", "workers.outbox")),
        Process("watcher", (python, "-m", "workers.watcher")),
    ]


def worker(name: str, queues: Iterable[str], *, python: str, device: str, prefix: str = "") -> Process:
    """Return one Celery worker process for ``queues``; it may take 60 s to write a checkpoint."""
    queues = tuple(queues)
    command = (python, "-m", "workers.launch", "--queues", ",".join(queues), "--device", device)
    return Process(name, (*command, "--name", f"{prefix}{name}"), queues=queues, grace_seconds=60.0)
