"""Jobs of every kind succeed at one place, which looks whether all is there that they promise."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acc.tests import helpers
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import JobState
from accsite.apps.training.tests.rows import make_branch, make_job
from workers.job import promises
from workers.job.context import JobContext
from workers.job.interruption import Interruption
from workers.job.lease import Lease
from workers.job.store import store_dataset, write_draft
from workers.kinds.imports import looked

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def import_of(django_user_model, settings, tmp_path, monkeypatch) -> Any:
    """Return what gives an import job in the hands of this process; what it has started is not ended."""
    settings.HOME = tmp_path
    owner = django_user_model.objects.create_user("owner")
    branch = make_branch(owner)
    ended: list[int] = []
    monkeypatch.setattr(promises, "end_helpers", lambda context: ended.append(context.job.pk))

    def make(**spec: Any) -> Any:
        job = make_job(
            branch, kind=JobKind.IMPORT, state=JobState.RUNNING, attempt=1, spec=spec, created_by=owner
        )
        lease = SimpleNamespace(fenced=threading.Event())
        return SimpleNamespace(job=job, attempt=1, worker="w", lease=lease, helpers_ended=ended)

    return make


def test_an_import_that_only_looks_promises_what_it_found(import_of):
    context = import_of(look=True)
    with pytest.raises(promises.PromiseBroken, match="what was found in the file was not told"):
        promises.succeed(context, {"images": 3}, proof=looked)
    assert Job.objects.get(pk=context.job.pk).state == JobState.RUNNING
    promises.succeed(context, {"images": 3, "source": {"file": "x"}}, proof=looked)
    assert Job.objects.get(pk=context.job.pk).state == JobState.SUCCEEDED
    assert context.helpers_ended == [context.job.pk] * 2


def keep(context: Any, path: Path) -> str:
    data = helpers.blobs(8)
    write_draft(data, path)
    return store_dataset(context, data, path, name="Blobs", provenance={}, seconds=0.5)


def test_a_dataset_is_kept_together_with_the_end_of_its_job(import_of, tmp_path):
    context = import_of(look=False)
    slug = keep(context, tmp_path / "draft.safetensors")
    job = Job.objects.get(pk=context.job.pk)
    assert (job.state, job.result["slug"], job.result["images"]) == (JobState.SUCCEEDED, slug, 8)
    assert Dataset.objects.get().slug == slug
    assert context.helpers_ended == [job.pk]


def test_a_job_that_was_taken_away_leaves_no_dataset(import_of, tmp_path):
    context = import_of(look=False)
    context.attempt = 2
    with pytest.raises(Fenced):
        keep(context, tmp_path / "draft.safetensors")
    assert not Dataset.objects.exists()
    assert not (tmp_path / "draft.safetensors").exists()


def test_what_a_job_has_started_ends_with_it_and_what_was_there_before_goes_on():
    wait = ["sleep", "120"]
    before = subprocess.Popen(wait)
    context = JobContext(Job(pk=1), 1, "w", "cpu", Lease(1, 1), Interruption())
    own = subprocess.Popen(wait)
    try:
        promises.end_helpers(context)
        assert own.wait(10) == -signal.SIGKILL
        assert before.poll() is None
    finally:
        before.kill()
        own.kill()
        before.wait()
