"""The loss history is the same numbers as JSON columns, binary and CSV."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np
import pytest
from rest_framework.test import APIClient

from acc import wire
from acc.training.protocols import PointBlock
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows


@pytest.fixture
def api(user: Any) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def job(branch: Branch) -> Job:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=100)
    values = np.array([[0.1, 2, math.nan, 4], [1e-8, math.inf, 3, 4]], np.float32)
    points.append(job.pk, 1, PointBlock(0, ("total", "raw/digit"), values, 100.0, 103.0))
    return job


def test_json_has_columns_and_null_for_no_value(api: APIClient, job: Job) -> None:
    answer = api.get(f"/api/v1/jobs/{job.pk}/loss_history/")
    assert answer["Content-Type"] == "application/json"
    data = answer.json()
    assert data["columns"] == {"total": [0.1, 2.0, None, 4.0], "raw/digit": [1e-8, None, 3.0, 4.0]}
    assert (data["kind"], data["start"], data["stop"], data["attempt"], data["total"]) == (
        "raw",
        0,
        4,
        1,
        100,
    )


def test_binary_is_exact(api: APIClient, job: Job) -> None:
    answer = api.get(f"/api/v1/jobs/{job.pk}/loss_history/", headers={"Accept": wire.CONTENT_TYPE})
    assert answer["Content-Type"] == wire.CONTENT_TYPE
    assert "Accept" in answer["Vary"]
    header, columns = wire.decode(answer.content)
    assert (header["series"], header["rows"], header["count"]) == (["total", "raw/digit"], 2, 4)
    np.testing.assert_array_equal(columns, np.array([[0.1, 2, np.nan, 4], [1e-8, np.inf, 3, 4]], np.float32))


def test_csv_has_a_line_a_step(api: APIClient, job: Job) -> None:
    answer = api.get(f"/api/v1/jobs/{job.pk}/loss_history/?format=csv")
    assert answer["Content-Type"].startswith("text/csv")
    lines = list(csv.reader(io.StringIO(answer.getvalue().decode())))
    assert lines == [
        ["step", "total", "raw/digit"],
        ["0", "0.1", "1e-08"],
        ["1", "2.0", "inf"],
        ["2", "", "3.0"],
        ["3", "4.0", "4.0"],
    ]


def test_a_range_and_an_envelope(api: APIClient, job: Job) -> None:
    url = f"/api/v1/jobs/{job.pk}/loss_history/"
    assert api.get(f"{url}?from=1&to=3").json()["columns"]["total"] == [2.0, None]
    assert api.get(f"{url}?after=2").json()["columns"]["total"] == [4.0]
    data = api.get(f"{url}?points=2&clock=1").json()
    assert (data["kind"], data["bucket"], data["clock"]) == ("envelope", 2, [[0.0, 3.0], [100.0, 103.0]])
    assert data["columns"]["total"]["max"] == [2.0, 4.0]
    lines = api.get(f"{url}?points=2&format=csv").getvalue().decode().splitlines()
    assert lines[0].startswith("first_step,last_step,total min,total max,total mean")
    assert lines[2].startswith("2,3,4.0,4.0,4.0")


def test_chosen_series_are_those_of_the_whole_history_and_no_others(api: APIClient, branch: Branch) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=3000)
    values = np.random.default_rng(0).normal(size=(3, 1500)).astype(np.float32)
    names = ("total", "raw/digit", "raw/kl")
    points.append(job.pk, 1, PointBlock(0, names, values, 100.0, 103.0))
    late = np.ones((2, 700), np.float32)
    points.append(job.pk, 1, PointBlock(1500, ("raw/late", "raw/kl"), late, 103.0, 104.0))
    url = f"/api/v1/jobs/{job.pk}/loss_history/"
    for query in ("", "&from=600&to=1700", "&points=100", "&from=3&to=2100&points=9&clock=1"):
        everything = api.get(f"{url}?{query}").json()
        wanted = ["raw/kl", "raw/late"]
        chosen = api.get(f"{url}?series=raw/late,raw/kl,raw/never{query}").json()
        assert sorted(chosen["series"]) == wanted
        assert chosen["columns"] == {name: everything["columns"][name] for name in wanted}
        unlike = {"series", "columns", "last"}
        assert {k: v for k, v in chosen.items() if k not in unlike} == {
            k: v for k, v in everything.items() if k not in unlike
        }
        if "last" in everything:
            assert chosen["last"] == {name: everything["last"][name] for name in wanted}
    answer = api.get(f"{url}?series=raw/digit", headers={"Accept": wire.CONTENT_TYPE})
    header, columns = wire.decode(answer.content)
    assert header["series"] == ["raw/digit"]
    np.testing.assert_array_equal(columns[0], np.concatenate([values[1], np.full(700, np.nan, np.float32)]))
    assert api.get(f"{url}?series=raw/never").json()["columns"] == {}


def test_a_job_without_points_has_an_empty_history(api: APIClient, branch: Branch) -> None:
    url = f"/api/v1/jobs/{rows.make_job(branch).pk}/loss_history/"
    assert api.get(url).json()["columns"] == {}
    assert wire.decode(api.get(url, headers={"Accept": wire.CONTENT_TYPE}).content)[0]["count"] == 0
    assert api.get(f"{url}?format=csv").getvalue() == b"step\n"


@pytest.mark.parametrize("query", ["points=0", "from=x", "after=-3", "to=1e3", "points=99999999999999999999"])
@pytest.mark.parametrize("accept", ["application/json", wire.CONTENT_TYPE, "text/csv"])
def test_a_bad_query_is_a_problem_whatever_is_accepted(
    api: APIClient, job: Job, query: str, accept: str
) -> None:
    answer = api.get(f"/api/v1/jobs/{job.pk}/loss_history/?{query}", headers={"Accept": accept})
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert list(answer.json()["errors"]) == [query.split("=", maxsplit=1)[0]]
