"""An address or a form that names a row by anything at all is answered, and never with a fault of the site."""

from __future__ import annotations

import pytest
from django.test import Client

from accsite.apps.jobs.models import JobEvent
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases

ODD = ["9" * 5_000, "9" * 25, "-1", "1.5", "²", "٣", "abc", "1 or 1=1"]


@pytest.mark.parametrize("odd", ODD, ids=[each[:9] for each in ODD])
def test_pages_are_asked_for_odd_rows(page: Client, branch: Branch, odd: str) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    where = f"/w/{branch.experiment.slug}/{branch.slug}/"
    asked = [
        (where, "job"),
        (f"{where}panel/job/", "job"),
        (f"{where}panel/sent/", "sent"),
        ("/jobs/top/", "branch"),
        ("/jobs/top/", "job"),
        (f"/experiments/{branch.experiment.slug}/", "node"),
        (f"/experiments/{branch.experiment.slug}/", "page"),
        ("/evaluate/go/", "checkpoint"),
        ("/evaluate/compare/", "a"),
        ("/datasets/", "page"),
    ]
    answers = {f"{address}?{name}=": page.get(address, {name: odd}).status_code for address, name in asked}
    form = {"job": odd, "lr": "0.1"}
    answers["rate"] = page.post(f"{where}rate/", form).status_code
    asked_of = f"/jobs/{job.pk}/control/"
    answers["control"] = page.post(
        asked_of, {"kind": "pause"}, query_params={"branch": odd}, headers={"HX-Request": "true"}
    ).status_code
    answers["keep"] = page.post("/api/v1/datasets/import/", {"job": odd}).status_code
    assert {address: status for address, status in answers.items() if status >= 500} == {}
    assert JobEvent.objects.filter(job=job, kind="pause").count() == 1
