"""The bar above every page and the bell read what is active, however many jobs there were."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accsite.apps.jobs.models import Job, JobEvent, JobKind
from accsite.apps.jobs.states import JobState
from accsite.apps.news.selectors import counts
from accsite.apps.training.pages import jobs as job_pages
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db


def test_the_header_and_the_bell_read_no_job_that_has_ended() -> None:
    rows.make_plugins()
    user: Any = get_user_model().objects.create_user("ada")
    branch = rows.make_branch(user)
    ended = {"kind": JobKind.TRAIN, "queue": "train", "state": JobState.SUCCEEDED, "branch": branch}
    jobs = Job.objects.bulk_create(
        Job(**ended, title=f"Train {i}", spec={"padding": "x" * 3000}) for i in range(2000)
    )
    told = [{"state": "RUNNING"}, {"state": "SUCCEEDED"}]
    JobEvent.objects.bulk_create(
        JobEvent(job=job, kind="state", payload=each) for job in jobs for each in told
    )
    rows.make_job(branch, state=JobState.RUNNING)
    if connection.vendor != "sqlite":
        pytest.skip("asks SQLite for its plans")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        try:
            for read in (job_pages.top_job, counts):
                with CaptureQueriesContext(connection) as asked:
                    read(user)
                for query in asked.captured_queries:
                    if "jobs_job" in query["sql"]:
                        cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                        plan = [row[-1] for row in cursor.fetchall()]
                        assert "SCAN jobs_job" not in plan, (query["sql"][:60], query["sql"][-300:], plan)
        finally:
            cursor.execute("DELETE FROM sqlite_stat1")
