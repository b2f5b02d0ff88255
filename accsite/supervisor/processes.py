"""The table of the platform's processes: what `manage.py up` starts and docker-compose.yml agrees with."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from acc import forked
from acc.errors import InvalidInput
from accsite.supervisor.family import TITLE_BYTES
from accsite.supervisor.orphans import die_with_parent

# What every process is told by the environment, whoever starts it.
SHARED_ENVIRONMENT = ("DJANGO_SETTINGS_MODULE", "ACC_HOME", "DATABASE_URL", "REDIS_URL")
LOOPBACK = "127.0.0.1"
WEB_PORT = 8000
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class Process:
    """One long-running process.

    ``command`` starts with the interpreter; ``queues`` are the Celery queues it serves, none for the rest;
    ``grace_seconds`` is how long it may take to put its work down after SIGTERM; ``files`` are descriptors of the
    parent's that it is given, such as a socket that listens; ``forked``: the starter forks it, where there is one;
    ``within``: the module whose ``main`` it is as a fork of the supervisor, where that can fork.
    """

    name: str
    command: tuple[str, ...]
    queues: tuple[str, ...] = ()
    grace_seconds: float = 10.0
    files: tuple[int, ...] = ()
    forked: bool = False
    within: str = ""


def execute(
    process: Process, environment: Mapping[str, str], output: int
) -> subprocess.Popen[bytes] | forked.Fork:
    """Start the program of ``process``, or a fork of this one that does the same, writing to ``output``."""
    if process.within and forked.possible():
        return forked.fork(
            process.within,
            process.command[3:],
            environment=environment,
            stdout=output,
            stderr=output,
            keep=process.files,
            death_signal=signal.SIGTERM,
        )
    return subprocess.Popen(  # noqa: S603 - the process table is ours
        process.command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        pass_fds=process.files,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, bound before the fork
    )


def table(
    *,
    python: str = sys.executable,
    host: str = LOOPBACK,
    port: int = WEB_PORT,
    device: str = "auto",
    devices: str = "",
    prefix: str = "",
    listener: int | None = None,
) -> list[Process]:
    """Return the processes of one machine; Redis and the database come before them.

    ``devices`` maps devices to queues, one worker each: ``cuda:0=train cuda:1=eval``; a queue that it does not
    name gets a worker on the CPU. Empty: the train worker computes on ``device`` (auto, cpu, cuda:0) and the
    others on the CPU. ``prefix`` goes before the workers' names, which must differ between machines.
    ``listener``: the descriptor of a socket that listens already, for the site to serve instead of ``host`` and
    ``port``. Raises InvalidInput (ACC_DEVICES) for a map that cannot be read.
    """
    where = ("-b", host, "-p", str(port)) if listener is None else ("--fd", str(listener))
    return [
        Process(
            "web",
            (python, "-m", "daphne", "-v", "0", *where, "accsite.asgi:application"),
            files=() if listener is None else (listener,),
            within="accsite.web",
        ),
        *(
            worker(name, queues, python=python, device=bound, prefix=prefix)
            for name, bound, queues in placed(devices, device)
        ),
        Process("sweeper", (python, "-m", "workers.sweeper"), forked=True),
        Process("watcher", (python, "-m", "workers.watcher"), forked=True),
        Process("latent", (python, "-m", "workers.latent"), forked=True),
    ]


def placed(devices: str, device: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return name, device and queues of each worker; see ``table``."""
    usual = [
        ("worker-train", device, ("train",)),
        ("worker-eval", "cpu", ("eval", "default")),
        ("worker-recipe", "cpu", ("recipe",)),
    ]
    found: list[tuple[str, str, tuple[str, ...]]] = []
    known = [queue for _, _, queues in usual for queue in queues]
    for entry in devices.split():
        bound, equals, text = entry.partition("=")
        queues = tuple(filter(None, text.split(",")))
        unknown = [queue for queue in queues if queue not in known]
        if not DEVICE.fullmatch(bound) or not equals or not queues or unknown:
            right = "give DEVICE=QUEUE[,QUEUE] by spaces, such as 'cuda:0=train cuda:1=eval'"
            raise InvalidInput(ACC_DEVICES=f"{entry!r} is refused; {right}; queues are: {', '.join(known)}")
        name = f"worker-{'-'.join(queues)}-{bound.replace(':', '')}"
        if any(name == other for other, _, _ in found):
            raise InvalidInput({"ACC_DEVICES": f"{entry!r} stands there twice; name each worker once"})
        found.append((name, bound, queues))
    served = {queue for _, _, queues in found for queue in queues}
    for name, bound, queues in usual:
        missing = tuple(queue for queue in queues if queue not in served)
        if missing:
            found.append((name, "cpu" if devices else bound, missing))
    return found


def worker(name: str, queues: Iterable[str], *, python: str, device: str, prefix: str = "") -> Process:
    """Return one Celery worker process for ``queues``; it may take 60 s to write a checkpoint."""
    queues = tuple(queues)
    command = (python, "-m", "workers.launch", "--queues", ",".join(queues), "--device", device)
    return Process(
        name, (*command, "--name", f"{prefix}{name}"), queues=queues, grace_seconds=60.0, forked=True
    )


def starter(*, python: str = sys.executable) -> Process:
    """Return the process that forks those of the table that are ``forked``; its grace period is the longest of theirs.

    ``--room`` is for titles: a fork's takes the place of this command, and is cut to its length.
    """
    return Process(
        "starter",
        (python, "-m", "workers.starter", "--room", "." * TITLE_BYTES),
        grace_seconds=70.0,
        within="workers.starter",
    )
