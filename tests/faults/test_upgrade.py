"""An installation that an earlier version left behind is brought to the newest schema, and its jobs are finished."""

from __future__ import annotations

import hashlib
import json
import lzma
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from tests.stack import ROOT, Stack, Template, final, own_database, points, site_of

KEPT = sorted(path for path in (ROOT / "tests" / "kept").iterdir() if path.is_dir())


def migrate(environment: dict[str, str]) -> None:
    """Bring the database up to date as people do."""
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def jobs_of(kept: Path) -> dict[str, Any]:
    """Return the number of the drained and of the waiting job, and the states of all."""
    found: dict[str, Any] = json.loads((kept / "jobs.json").read_text())
    return found


def assert_brought_over(kept: Path) -> None:
    """Assert that the database has this version's tables, and the jobs that were in it."""
    from accsite import schema
    from accsite.apps.jobs.models import Job
    from accsite.apps.training.models import Checkpoint

    assert schema.differences() == []
    jobs = jobs_of(kept)
    drained = Job.objects.get(pk=jobs["drained"])
    assert {str(job.pk): job.state for job in Job.objects.all()} == jobs["states"]
    assert (drained.state, Job.objects.get(pk=jobs["waiting"]).state) == ("QUEUED", "QUEUED")
    assert 0 < drained.step < drained.total_steps
    assert Checkpoint.objects.filter(job=drained).exists()


def assert_runs_what_it_kept() -> None:
    """Assert that every plugin source is what its hash says: nothing else is run."""
    from accsite.apps.registry.models import PluginSource

    sources = list(PluginSource.objects.all())
    assert len(sources) > 20
    assert all(hashlib.sha256(each.text.encode()).hexdigest() == each.sha256 for each in sources)


@pytest.fixture
def kept_stack(template: Template, tmp_path: Path, django_db_blocker: Any) -> Any:
    """Return what makes a platform on a kept installation, migrated."""

    def make(kept: Path) -> Any:
        home = tmp_path / "home"
        with tarfile.open(kept / "home.tar.xz") as archive:
            archive.extractall(home, filter="data")
        return template.on(home)

    with django_db_blocker.unblock():
        yield make


@pytest.mark.long(15)
@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)
def test_a_kept_installation_is_upgraded_and_finishes_its_jobs(kept: Path, kept_stack: Callable[[Path], Any]):
    from accsite.apps.jobs.models import Job

    with kept_stack(kept) as stack:
        assert isinstance(stack, Stack)
        migrate(stack.environment)
        assert_brought_over(kept)
        drained, waiting = (Job.objects.get(pk=jobs_of(kept)[which]) for which in ("drained", "waiting"))
        before = points(drained)
        stack.worker("train-1", "train")
        stack.sweeper()  # rings for what waits: the queue kept nothing
        drained = stack.state(drained, "SUCCEEDED", seconds=240)
        waiting = stack.state(waiting, "SUCCEEDED", seconds=120)
        after = points(drained)
        assert (drained.step, waiting.step) == (drained.total_steps, waiting.total_steps)
        assert final(drained).job_step == drained.total_steps
        assert set(before) <= set(after)
        for name, values in before.items():  # NaN where it was not measured, which is no difference
            np.testing.assert_array_equal(after[name][: len(values)], values, err_msg=name)


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)
def test_a_kept_database_is_upgraded_on_postgresql(
    kept: Path, postgresql_url: str, template: Template, tmp_path: Path, django_db_blocker: Any
):
    with own_database(postgresql_url) as url, django_db_blocker.unblock():
        with psycopg.connect(url, autocommit=True) as connection:
            # Many statements in one text, as psql reads them.
            connection.execute(lzma.decompress((kept / "database.sql.xz").read_bytes()))
        migrate({**template.environment, "ACC_HOME": str(tmp_path), "DATABASE_URL": url})
        with site_of(tmp_path, url):
            assert_brought_over(kept)
            assert_runs_what_it_kept()
