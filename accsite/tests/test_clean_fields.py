"""Whatever a plugin says is cleaned on its way into the database, by whichever door it comes."""

from __future__ import annotations

import pytest

from accsite.apps.evaluation.models import Metric
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.registry.models import PluginFile
from accsite.apps.training.tests.rows import make_job

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
BAD = "a\0b\ud800" + "x" * 100_000


def is_kept_clean(text: str, limit: int) -> bool:
    return len(text) <= limit and "\0" not in text and bool(text.encode())


def test_a_row_that_is_made_saved_or_updated_holds_clean_text():
    job = make_job()
    event = JobEvent.objects.create(job=job, kind="alarm", message=BAD, payload={"task": BAD})
    assert is_kept_clean(event.message, 2_000)  # the instance shows what was kept
    event.refresh_from_db()
    assert is_kept_clean(event.message, 2_000)
    assert is_kept_clean(event.payload["task"], 20_000)

    Job.objects.filter(pk=job.pk).update(
        message=BAD, traceback=BAD, result={"losses": {"a": float("inf"), "b": [BAD]}}
    )
    job.refresh_from_db()
    assert is_kept_clean(job.message, 2_000)
    assert is_kept_clean(job.traceback, 20_000)
    assert job.result["losses"]["a"] is None
    assert is_kept_clean(job.result["losses"]["b"][0], 20_000)

    job.message = BAD
    job.save(update_fields=["message"])
    assert is_kept_clean(job.message, 2_000)
    JobEvent.objects.bulk_create([JobEvent(job=job, kind="note", message=BAD)])
    assert is_kept_clean(JobEvent.objects.latest("pk").message, 2_000)


def test_short_text_is_cut_to_its_length_and_not_refused():
    field = Metric._meta.get_field("name")
    assert is_kept_clean(field.get_prep_value(BAD), 64)
    PluginFile.objects.create(path="tasks/odd.py", sha256="0" * 64, error=BAD, error_detail=BAD, output=BAD)
    row = PluginFile.objects.get()
    assert is_kept_clean(row.error, 2_000)
    assert is_kept_clean(row.output, 20_000)
