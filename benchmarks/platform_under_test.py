"""A private platform for a benchmark: own ACC_HOME, own Redis, the real worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def prepare(home: Path) -> None:
    """Set Django up on ``home``, its database migrated; call before anything of the site is imported."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "accsite.settings.embedded"
    os.environ["ACC_HOME"] = str(home)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)


@contextmanager
def site() -> Iterator[Path]:
    """Yield the ACC_HOME of a site without workers: database and Redis, this process set up for it."""
    from accsite.supervisor.redis import RedisServer, use

    home = Path(tempfile.mkdtemp(prefix="acc-bench-"))
    server = RedisServer(home / "redis")
    try:
        prepare(home)
        server.start()
        use(server.url)
        yield home
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def worker(name: str, home: Path, *, wait: bool = True) -> Iterator[None]:
    """Run the real worker process ``name`` of the process table, serving when this returns if ``wait``."""
    from accsite.apps.jobs.models import Worker
    from accsite.supervisor.processes import table

    process = next(item for item in table(device="cpu") if item.name == name)
    online = Worker.objects.filter(name=name, state=Worker.State.ONLINE)
    with started(process.command, home / f"{name}.log", ready=online.exists if wait else None):
        yield


@contextmanager
def started(
    command: Sequence[str], log: Path, *, ready: Callable[[], bool] | None = None, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of the platform whose output goes to ``log``; it is ``ready`` when this returns."""
    with log.open("ab") as out:
        running = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **environment}
        )
    try:
        if ready is not None:
            try:
                wait_for(ready, what=f"{log.stem} to be ready", process=running)
            except (RuntimeError, TimeoutError) as error:
                error.add_note(log.read_text(errors="replace")[-2000:])
                raise
        yield running
    finally:
        running.terminate()
        try:
            running.wait(60)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextmanager
def digits() -> Iterator[tuple[Any, Path]]:
    """Yield the demo's branch, made as the demo makes it, and the ACC_HOME; no worker runs."""
    with site() as home:
        from accsite.supervisor import demo

        command = [sys.executable, "-m", "workers.watcher", "--once"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        with worker("worker-eval", home):
            dataset = demo.ensure_dataset(None, wait_for)
        yield demo.ensure_branch(None, dataset), home


def run_to_its_end(job: Any, *, every: float = 0.05) -> Any:
    """Return the job as it ended; raises SystemExit with its traceback if it did not succeed."""
    from accsite.apps.jobs.states import TERMINAL, JobState

    def ended() -> bool:
        job.refresh_from_db()
        return job.state in TERMINAL

    wait_for(ended, every=every)
    if job.state != JobState.SUCCEEDED:
        raise SystemExit(f"{job} ended {job.state}: {job.message}\n{job.traceback}")
    return job


def wait_for(
    condition: Callable[[], bool],
    *,
    seconds: float | None = None,
    every: float = 0.05,
    what: str = "what it needs",
    process: subprocess.Popen[bytes] | None = None,
) -> bool:
    """Return True when ``condition`` holds; raises TimeoutError, naming ``what``, if it does not.

    seconds: to wait for it, three minutes by default.
    process: what is to bring it about; raises RuntimeError if it ends before.
    """
    seconds = seconds or 180.0
    until = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"waited for {what}, but its process ended with status {process.returncode}")
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds:g} s for {what}, which did not come")
        time.sleep(every)
    return True
