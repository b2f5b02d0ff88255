"""A private platform for tests: own ACC_HOME, database and Redis, with the real processes as subprocesses.

The test process sees the same database through Django's ORM, so a test submits by the services that the site
uses and looks at rows. ``Template`` is made once: a migrated database, the plugins known, the digits stored.

What the starter forks under `manage.py up` it forks here, too: torch and Django are imported once for each platform.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from redis import Redis

from accsite.settings.base import database
from accsite.supervisor.health import is_ready
from accsite.supervisor.processes import Process as PlatformProcess
from accsite.supervisor.processes import starter as starter_process
from accsite.supervisor.processes import table
from accsite.supervisor.redis import RedisServer, free_port, use
from accsite.supervisor.starter import Forked, Starter
from workers.machine.processes import name_of

ROOT = Path(__file__).resolve().parents[1]
LEASE_SECONDS = 2.0
LOOK_SECONDS = 0.05
"""How often a test looks whether what it waits for is there; to look takes a millisecond or more of a core."""
TRAINERS = ("train-1", "train-2")
"""Workers of which tests on one platform hand on one to each other, whichever is left."""
PATIENCE = float(os.environ.get("ACC_TEST_PATIENCE", "1"))
"""How many times longer than usual to wait for something before it counts as not coming: for busy machines."""
FAST = {
    "ACC_LEASE_SECONDS": str(LEASE_SECONDS),
    "ACC_HEARTBEAT_SECONDS": "0.4",
    "ACC_SWEEP_SECONDS": "0.3",
}
DATASET = "handwritten-digits"
MODEL: dict[str, Any] = {
    "architecture": "FactorSlotAutoencoder",
    "image": {"channels": 1, "height": 32, "width": 32},
    "latent_dim": 10,
    "factor_groups": [{"name": "digit", "start": 0, "end": 6}, {"name": "free", "start": 6, "end": 10}],
}


ALONE = 0
"""The database of Redis that a platform uses which nobody shares."""


class Gone(AssertionError):
    """What a test waited for did not come; the logs of the processes are in the message."""


FORKED = {process.command[2] for process in table() if process.forked}
"""Modules that the starter forks."""


class Fork:
    """A process that a starter has forked, asked as a ``Popen`` is."""

    def __init__(self, forked: Forked) -> None:
        assert forked.pid is not None
        self.forked, self.pid = forked, forked.pid

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        return self.forked.poll()

    def wait(self, timeout: float = math.inf) -> int:
        """Return how it ended; raises ``subprocess.TimeoutExpired`` if it has not after ``timeout`` seconds."""
        until = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired([f"process {self.pid}"], timeout)
            self.forked.starter.wait(0.05)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal if it runs."""
        if self.poll() is None:
            self.forked.send_signal(number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


@dataclass
class Process:
    """One real process of the platform, its output in a file."""

    name: str
    popen: subprocess.Popen[bytes] | Fork
    log: Path
    told: tuple[Any, ...] = ()
    begin: int = 0
    """Where in its log the test began that uses it now."""

    @property
    def output(self) -> str:
        """What it has printed since it was started, or handed on to this test."""
        return self.log.read_bytes()[self.begin :].decode(errors="replace")

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        self.popen.send_signal(number)

    def kill(self) -> None:
        """Kill it as the kernel would when memory runs out."""
        self.popen.kill()
        self.popen.wait()

    def terminate(self, seconds: float = 30) -> int:
        """Send SIGTERM and return its exit status."""
        self.popen.terminate()
        return self.popen.wait(seconds)

    def zygote(self) -> int | None:
        """Return the process id of a worker's fork server."""
        found = children_of(self.popen.pid)
        return found[0] if found else None

    def job(self) -> int | None:
        """Return the process id of the job that a worker runs now."""
        found = self._of_jobs(keeping_records=False)
        return found[0] if found else None

    def record_keeper(self) -> int | None:
        """Return the process id of what keeps the records of the job that a worker runs now."""
        found = self._of_jobs(keeping_records=True)
        return found[0] if found else None

    def _of_jobs(self, *, keeping_records: bool) -> list[int]:
        zygote = self.zygote()
        found = children_of(zygote) if zygote else []
        return [pid for pid in found if name_of(pid).endswith(", records") == keeping_records]


@dataclass
class Stack:
    """A platform on ``home``; ``start`` its processes one by one. Use within ``Template.stack``."""

    home: Path
    redis: RedisServer
    database_url: str
    environment: dict[str, str]
    processes: list[Process] = field(default_factory=list)
    kept: frozenset[str] = frozenset()
    """Other workers that one test hands on to the next."""
    starters: dict[str, tuple[Starter, Any]] = field(default_factory=dict)
    """By the environment that their forks have: what a test asks of it, and its process."""

    # --- processes -----------------------------------------------------------------------------------------

    def start(self, name: str, *command: str, **environment: str) -> Process:
        """Start ``python command...`` with the platform's environment and return it at once."""
        log = self.home / "logs" / f"{len(self.processes)}-{name}.log"
        log.parent.mkdir(exist_ok=True)
        popen: subprocess.Popen[bytes] | Fork
        with log.open("wb") as out:
            if command[0] == "-m" and command[1] in FORKED:
                popen = self._fork(command, environment, out.fileno())
            else:
                popen = subprocess.Popen(
                    [sys.executable, *command],
                    cwd=ROOT,
                    env={**self.environment, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
        process = Process(name, popen, log, (name, command, environment))
        self.processes.append(process)
        return process

    def _fork(self, command: tuple[str, ...], environment: dict[str, str], output: int) -> Fork:
        """Return what the starter of this environment has forked; there is one for each that was asked for."""
        key = json.dumps(environment, sort_keys=True)
        if key not in self.starters:
            program = starter_process()
            made = Starter(program)
            with (self.home / "logs" / f"starter-{len(self.starters)}.log").open("wb") as log:
                popen = made.execute(program, {**self.environment, **environment}, log.fileno())
            self.starters[key] = made, popen
        made, popen = self.starters[key]
        forked = made.fork(PlatformProcess(command[1], (sys.executable, *command), forked=True), {}, output)
        while forked.pid is None and popen.poll() is None:
            made.wait(0.05)
        assert forked.pid is not None, "the starter has ended, see its log beside those of the others"
        return Fork(forked)

    def worker(
        self, name: str = "", queues: str = "train", *, wait: bool = True, **environment: str
    ) -> Process:
        """Start a worker, or return the one that a test before left; with ``wait``, when it takes jobs.

        name: none given: whichever trainer was left, else the first.
        """
        left = [each.name for each in self.processes if each.alive and each.name in TRAINERS]
        name = name or next(iter(left), TRAINERS[0])
        command = ("-m", "workers.launch", "--queues", queues, "--device", "cpu", "--name", name)
        for kept in self.processes:
            if kept.alive and kept.told == (name, command, environment):
                return kept
        process = self.start(name, *command, **environment)
        if wait:
            self.until(lambda: "worker_serving" in process.output, what=f"{name} serving")
        return process

    def second_worker(self) -> Process:
        """Start another worker beside, or after, the one that ``worker`` returned."""
        first = [each.name for each in self.processes if each.name in TRAINERS][-1]
        return self.worker(next(name for name in TRAINERS if name != first))

    def sweeper(self) -> Process:
        """Start the sweeper and reaper."""
        return self.start("sweeper", "-m", "workers.sweeper")

    def watcher(self) -> Process:
        """Start the plugin watcher."""
        return self.start("watcher", "-m", "workers.watcher")

    def latent(self) -> Process:
        """Start what answers about latents, and return it when it does."""
        process = self.start("latent", "-m", "workers.latent")
        self.until(lambda: "latent_serving" in process.output, what="the process of latents")
        return process

    def web(self, port: int = 0) -> str:
        """Start the site, on any free port unless told which, and return its address once it is ready."""
        port = port or free_port()
        process = next(each for each in table(port=port) if each.name == "web")
        started = self.start("web", *process.command[1:])
        url = f"http://127.0.0.1:{port}"
        self.until(lambda: is_ready(url), what="the site", seconds=60)
        assert started.alive, started.output
        return url

    def stop(self, *names: str) -> None:
        """End every process that is left, or those so named, politely first."""
        ending = [process for process in self.processes if not names or process.name in names]
        for process in ending:
            if process.alive:
                process.send(signal.SIGCONT)
                process.send(signal.SIGTERM)
        until = time.monotonic() + 10
        for process in ending:
            with suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.1, until - time.monotonic()))
            if process.alive:
                process.kill()

    def end(self) -> None:
        """End every process that is left, and the starters that have forked them."""
        self.stop()
        for made, popen in self.starters.values():
            popen.terminate()
            popen.wait()
            made.lose()
        self.starters.clear()

    def hand_on(self) -> None:
        """End what a test left, and all jobs, but for idle workers that are ``kept``: they cost seconds to start."""
        from accsite.apps.jobs.models import Job
        from accsite.apps.jobs.services import control, lifecycle
        from accsite.apps.jobs.states import HELD

        alive = [each for each in self.processes if each.alive]
        kept = [each for each in alive if each.name in TRAINERS and not each.told[2]][:1]
        kept += [each for each in alive if each.name in self.kept]
        self.stop(*({each.name for each in self.processes} - {each.name for each in kept} or {""}))
        asked: set[tuple[int, int]] = set()

        def quiet() -> bool:
            for job in Job.objects.active():
                if job.state in HELD and not kept:
                    lifecycle.lose(job.pk, job.attempt, "the test is over")
                elif job.state not in HELD or (job.pk, job.attempt) not in asked:
                    asked.add((job.pk, job.attempt))
                    control.cancel(actor=None, job=job)
            return not Job.objects.active().exists()  # the end of one may have queued its evaluation

        self.until(quiet, what="the test's jobs to end")
        for process in kept:
            self.until(partial(_is_idle, process), what="its last process to end")
            process.begin = process.log.stat().st_size
        self.processes[:] = kept

    # --- jobs ----------------------------------------------------------------------------------------------

    def branch(self, name: str = "digits", *, model: dict[str, Any] | None = None) -> Any:
        """Return the branch ``main`` of a new experiment on the digits, with the demo's three tasks."""
        from accsite.apps.training.models import Experiment
        from accsite.apps.training.services import experiments, tasks

        if Experiment.objects.filter(name=name).exists():
            name = f"{name} {Experiment.objects.count()}"
        experiment = experiments.create_experiment(actor=None, name=name, model={**MODEL, **(model or {})})
        branch = experiment.branches.get()
        tasks.add_task(actor=None, branch=branch, task_class="ReconstructionTask", dataset=DATASET)
        tasks.add_task(
            actor=None, branch=branch, task_class="KLDivergenceTask", dataset=DATASET, weight=0.001
        )
        tasks.add_task(
            actor=None, branch=branch, task_class="ClassificationTask", dataset=DATASET, factor="digit"
        )
        return branch

    def submit(self, branch: Any, steps: int, **train: Any) -> Any:
        """Return a train job of ``branch``, submitted as the site does it."""
        from accsite.apps.training.services import jobs

        spec = {"steps": steps, "batch_size": 32, "threads": 1, "checkpoint_every_seconds": None, **train}
        return jobs.submit_training(actor=None, branch=branch, train=spec)

    def until(
        self, condition: Callable[[], Any], *, what: str | Callable[[], str], seconds: float = 60
    ) -> Any:
        """Return what ``condition`` returns once it is true; raises Gone with all logs.

        what: is waited for; called when it has not come, where it says how things are then.
        """
        end = time.monotonic() + PATIENCE * seconds
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > end:
                told = what if isinstance(what, str) else what()
                raise Gone(f"waited {PATIENCE * seconds:g} s for {told}\n{self.logs()}")
            time.sleep(LOOK_SECONDS)

    def state(self, job: Any, *states: str, seconds: float = 60) -> Any:
        """Wait until ``job`` is in one of ``states`` and return it as it is then."""

        def reached() -> bool:
            job.refresh_from_db()
            if job.state == "FAILED" and "FAILED" not in states:
                raise Gone(f"job {job.pk} failed: {job.message}\n{job.traceback}\n{self.logs()}")
            return job.state in states

        wanted = f"job {job.pk} to be {' or '.join(states)}"
        self.until(reached, what=lambda: f"{wanted}; {described(job)}", seconds=seconds)
        return job

    def step(self, job: Any, step: int, seconds: float = 60) -> Any:
        """Wait until ``job`` has recorded ``step`` steps and return it as it is then."""

        def reached() -> bool:
            job.refresh_from_db()
            return job.step >= step

        wanted = f"job {job.pk} to reach step {step}"
        self.until(reached, what=lambda: f"{wanted}; {described(job)}", seconds=seconds)
        return job

    def logs(self) -> str:
        """Return the end of every process's output."""
        return "\n".join(f"--- {each.name} ---\n{each.output[-4000:]}" for each in self.processes)

    def errors(self) -> str:
        """Return what the processes have logged as errors, tracebacks with it."""
        found = []
        for process in self.processes:
            for line in process.output.splitlines():
                if '"level": "error"' in line:
                    said = json.loads(line)
                    found.append(f"{process.name}: {said.pop('event')} {said.pop('exception', '')}\n{said}")
        return "\n".join(found)


class Template:
    """A prepared ACC_HOME that stacks are copied from, and the Redis that they use: a database of it for each."""

    def __init__(self, home: Path, redis: RedisServer) -> None:
        self.home, self.redis = home, redis
        home.mkdir(parents=True, exist_ok=True)
        stack = self._made(home, f"sqlite:///{home / 'acc.sqlite3'}", {}, ALONE)
        with self.seen(stack):
            seed(stack)

    @contextmanager
    def stack(
        self, home: Path, *, postgresql: str = "", redis_database: int = ALONE, **environment: str
    ) -> Iterator[Stack]:
        """Yield a platform on ``home`` that this process sees as its own; ``postgresql``: a server's URL."""
        made = self.made(home, postgresql=postgresql, redis_database=redis_database, **environment)
        with made as stack, self.seen(stack):
            try:
                yield stack
            finally:
                stack.end()

    @contextmanager
    def made(
        self, home: Path, *, postgresql: str = "", redis_database: int = ALONE, **environment: str
    ) -> Iterator[Stack]:
        """Yield a platform on ``home`` that this process does not see yet."""
        with ExitStack() as entered:
            if postgresql:
                home.mkdir(parents=True, exist_ok=True)
                url = entered.enter_context(own_database(postgresql))
            else:
                shutil.copytree(self.home, home, dirs_exist_ok=True)
                url = f"sqlite:///{home / 'acc.sqlite3'}"
            stack = self._made(home, url, environment, redis_database)
            with Redis.from_url(stack.environment["REDIS_URL"]) as left_over:
                left_over.flushdb()  # bells of another platform's jobs, which have the numbers of this one's
            entered.callback(stack.end)
            if postgresql:
                with self.seen(stack):
                    seed(stack)
            yield stack

    @contextmanager
    def on(self, home: Path) -> Iterator[Stack]:
        """Yield a platform on a home that is there already, which this process sees as its own."""
        stack = self._made(home, f"sqlite:///{home / 'acc.sqlite3'}", {}, ALONE)
        with self.seen(stack):
            try:
                yield stack
            finally:
                stack.end()

    @property
    def environment(self) -> dict[str, str]:
        """What processes on the template itself are told."""
        return self._made(self.home, f"sqlite:///{self.home / 'acc.sqlite3'}", {}, ALONE).environment

    @contextmanager
    def seen(self, stack: Stack) -> Iterator[None]:
        """Have this process see a platform as its own: its database, its files, its Redis."""
        self.redis.start()
        before = settings.REDIS_URL
        use(stack.environment["REDIS_URL"])
        try:
            with site_of(stack.home, stack.database_url):
                yield
        finally:
            use(before)

    def _made(self, home: Path, url: str, environment: dict[str, str], redis_database: int) -> Stack:
        told = {
            **os.environ,
            **FAST,
            "DJANGO_SETTINGS_MODULE": "accsite.settings.embedded",
            "ACC_HOME": str(home),
            "DATABASE_URL": url,
            "REDIS_URL": f"{self.redis.url.rpartition('/')[0]}/{redis_database}",
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        return Stack(home, self.redis, url, told)


@contextmanager
def site_of(home: Path, url: str) -> Iterator[None]:
    """Have this process's Django use the database and the storage of the site on ``home``."""
    before = connections.settings["default"]
    connections["default"].close()
    connections.settings["default"] = connections.configure_settings({"default": database(url)})["default"]
    del connections["default"]
    storages = {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(home / "blobs"), "base_url": None},
        },
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    try:
        with override_settings(HOME=home, STORAGES=storages, ACC_LEASE_SECONDS=LEASE_SECONDS):
            yield
    finally:
        connections["default"].close()
        del connections["default"]
        connections.settings["default"] = before


@contextmanager
def own_database(server: str) -> Iterator[str]:
    """Yield the URL of a new, empty database on a PostgreSQL server."""
    name = f"acc_stack_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def seed(stack: Stack) -> None:
    """Migrate, let the registry know the plugins, and store the digits."""
    call_command("migrate", interactive=False, verbosity=0)
    done = subprocess.run(
        [sys.executable, "-m", "workers.watcher", "--once"],
        cwd=ROOT,
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    from acc.plugins import PluginRegistry
    from accsite.apps.datasets import services

    registry = PluginRegistry(ROOT / "plugins")
    registry.scan()
    generator = registry.classes("generator")["HandwrittenDigits"].cls()
    path = stack.home / "digits.safetensors"
    generator.generate(None, 0, lambda _: None).save(path)
    services.create_dataset(
        actor=None,
        name="Handwritten digits",
        dataset_path=path,
        provenance={"generator": "HandwrittenDigits"},
    )
    connections["default"].close()


def described(job: Any) -> str:
    """Return how a job stands, what has happened to it, and which other jobs have not ended."""
    from accsite.apps.jobs.models import Job

    job.refresh_from_db()
    events = [
        f"  {event.created_at:%H:%M:%S.%f} {event.kind} {event.payload} {event.message}"
        for event in job.events.all()
    ]
    others = [
        f"  {other.kind} {other.pk} is {other.state}, rung {[bell.rings for bell in other.outbox.all()]}"
        for other in Job.objects.active().exclude(pk=job.pk)
    ]
    stands = f"it is {job.state} at step {job.step}, attempt {job.attempt}"
    return "\n".join([stands, *events, "other jobs:", *(others or ["  none"])])


def _is_idle(worker: Process) -> bool:
    return worker.job() is None


def children_of(pid: int) -> list[int]:
    """Return the process ids of the living children of a process, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) == pid and state not in {"Z", "X"}:
                    found.append(int(entry.name))
    return sorted(found)


def points(job: Any) -> dict[str, np.ndarray]:
    """Return every loss point of a job, series -> float32 (steps,); no step may be missing or there twice."""
    from accsite.apps.training.models import LossBlock

    expected = 0
    series: dict[str, list[np.ndarray]] = {}
    for block in LossBlock.objects.filter(job=job).order_by("start"):
        assert block.start == expected, f"steps {expected}..{block.start - 1} are missing or twice"
        values = np.frombuffer(bytes(block.values), "<f4").reshape(len(block.series), -1)
        assert values.shape[1] == block.count
        for name, row in zip(block.series, values, strict=True):
            series.setdefault(name, []).append(row)
        expected += block.count
    assert expected == job.step, f"points end before step {expected}, the job says {job.step}"
    return {name: np.concatenate(rows) for name, rows in series.items()}


def in_engine(job: Any, **train: Any) -> Any:
    """Return the MemorySink of what a job trains, from where it began, when the engine alone runs it here.

    train: other options than the job's.
    """
    from acc.specs import TrainJobSpec
    from acc.training.checkpoints import files
    from acc.training.run import MemorySink
    from acc.training.trainer import Trainer
    from accsite import blobs
    from workers.job.materials import Datasets, classes_of

    spec = TrainJobSpec.model_validate({**job.spec, "train": {**job.spec["train"], **train}})
    datasets = Datasets()
    for key, dataset in spec.datasets.items():
        datasets.load(key, dataset)
    row = job.start_checkpoint
    start = None if row is None else files.load(blobs.open_local(row.file, row.sha256))
    sink = MemorySink()
    Trainer(spec, datasets, classes=classes_of(spec.plugins), sink=sink, start_from=start, device="cpu").run()
    return sink


def undisturbed(job: Any) -> tuple[str, dict[str, np.ndarray]]:
    """Return the sha256 of the final checkpoint, and the curve, of a job as the engine alone makes them here."""
    sink = in_engine(job)
    return sha256_of(sink), sink.history()


def sha256_of(sink: Any) -> str:
    """Return the sha256 of the file of a sink's last checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        found: str = sink.checkpoints[-1][0].write(str(Path(folder) / "final.safetensors"))
    return found


def assert_undisturbed(job: Any) -> None:
    """Assert that a job ended with the weights, to the bit, and the curve of one that nothing happened to."""
    from acc.training.checkpoints import files
    from accsite import blobs

    sink, row = in_engine(job), final(job)
    if row.sha256 != sha256_of(sink):
        one, other = files.load(blobs.open_local(row.file, row.sha256)), sink.checkpoints[-1][0]
        assert one.header == other.header
        differ = [name for name in one.tensors if not one.tensors[name].equal(other.tensors[name])]
        raise AssertionError(f"these tensors differ from those of an undisturbed job: {differ}")
    curve, expected = points(job), sink.history()
    assert curve.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(curve[name], expected[name], err_msg=name)


def reload(row: Any) -> Any:
    """Return a row as it is in the database now."""
    row.refresh_from_db()
    return row


def final(job: Any) -> Any:
    """Return the newest checkpoint of a job."""
    return job.checkpoints.order_by("-job_step", "-id").first()
