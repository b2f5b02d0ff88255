"""The losses of a job as files that other tools read, read back by these tools."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from rest_framework.test import APIClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from acc.training.protocols import PointBlock
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.training import exporting
from accsite.apps.training.models import Branch
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows
from accsite.tests.shell import shell

SERIES = ("total", "raw/digit")
VALUES = np.array([[0.1, 2, math.nan, 4], [1e-8, math.inf, 3, 4]], np.float32)


@pytest.fixture
def api(user: Any) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def job(branch: Branch) -> Job:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=100)
    points.append(job.pk, 1, PointBlock(0, SERIES, VALUES, 100.0, 103.0))
    return job


def fetched(api: APIClient, job: Job, form: str, query: str = "") -> tuple[str, bytes]:
    answer = api.get(f"/api/v1/jobs/{job.pk}/loss_history/?format={form}{query}")
    assert answer.status_code == 200
    assert answer["Content-Type"] == exporting.FORMS[form].media_type
    return answer["Content-Disposition"], answer.getvalue()


def scalars(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return {
        tag: [(each.step, each.value, each.wall_time) for each in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_pyarrow_reads_the_exact_numbers_and_which_were_not_measured(api: APIClient, job: Job) -> None:
    name, content = fetched(api, job, "parquet")
    assert name == f'attachment; filename="job-{job.pk}.parquet"'
    table = parquet.read_table(io.BytesIO(content))
    assert table.to_pydict() == {
        "step": [0, 1, 2, 3],
        "total": [np.float32(0.1), 2.0, None, 4.0],
        "raw/digit": [np.float32(1e-8), math.inf, 3.0, 4.0],
    }
    assert json.loads(table.schema.metadata[b"acc"]) == {"job": job.pk, "attempt": 1, "steps": 100}


@pytest.mark.parametrize("query", ["", "&points=2"])
def test_a_table_of_several_pieces_is_that_of_one(
    api: APIClient, job: Job, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    whole = fetched(api, job, "csv", query)[1]
    assert whole.count(b"\n") == (3 if query else 5)
    monkeypatch.setattr(exporting, "STEPS_IN_A_PIECE", 1)
    assert fetched(api, job, "csv", query)[1] == whole


def test_an_envelope_is_a_table_of_buckets(api: APIClient, job: Job) -> None:
    table = parquet.read_table(io.BytesIO(fetched(api, job, "parquet", "&points=2")[1])).to_pydict()
    assert (table["first_step"], table["last_step"]) == ([0, 2], [1, 3])
    assert table["total max"] == [2.0, 4.0]


def test_tensorboard_reads_each_value_with_its_step_and_its_time(
    api: APIClient, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "STEPS_IN_A_PIECE", 3)  # so that there are two pieces
    name, content = fetched(api, job, "tensorboard")
    assert name == f'attachment; filename="events.out.tfevents.100.job-{job.pk}"'
    (tmp_path / name.split('"')[1]).write_bytes(content)
    assert scalars(tmp_path) == {
        "total": [(0, np.float32(0.1), 100.0), (1, 2.0, 101.0), (3, 4.0, 103.0)],
        "raw/digit": [(0, np.float32(1e-8), 100.0), (1, math.inf, 101.0), (2, 3.0, 102.0), (3, 4.0, 103.0)],
    }


def test_a_step_without_a_value_is_no_event(api: APIClient, branch: Branch, tmp_path: Path) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=500)
    values = np.full((1, 400), math.nan, np.float32)
    values[0, [0, 399]] = 1, 2
    points.append(job.pk, 1, PointBlock(0, ("raw/loss",), values, 0.0, 399.0))
    (tmp_path / "events.out.tfevents.1").write_bytes(fetched(api, job, "tensorboard")[1])
    events = list(EventFileLoader(str(tmp_path / "events.out.tfevents.1")).Load())
    assert [event.step for event in events if event.HasField("summary")] == [0, 399]


@pytest.mark.parametrize("query", ["", "&points=100"])
def test_a_line_of_a_table_has_a_value(api: APIClient, branch: Branch, query: str) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=500)
    values = np.full((2, 400), math.nan, np.float32)
    values[0, [0, 399]], values[1, 250] = (1, 2), math.inf
    points.append(job.pk, 1, PointBlock(0, ("raw/loss", "raw/kl"), values, 0.0, 399.0))
    lines = fetched(api, job, "csv", query)[1].decode().splitlines()
    assert len(lines) == 4
    if not query:
        assert lines[1:] == ["0,1.0,", "250,,inf", "399,2.0,"]
    table = parquet.read_table(io.BytesIO(fetched(api, job, "parquet", query)[1]))
    assert (table.num_rows, table.column(0).to_pylist()) == (
        3,
        [int(line.split(",")[0]) for line in lines[1:]],
    )


def test_chosen_series_and_steps_alone_are_exported(api: APIClient, job: Job, tmp_path: Path) -> None:
    content = fetched(api, job, "tensorboard", "&series=total&from=1")[1]
    (tmp_path / "events.out.tfevents.1").write_bytes(content)
    assert scalars(tmp_path) == {"total": [(1, 2.0, 101.0), (3, 4.0, 103.0)]}


@pytest.mark.parametrize("form", list(exporting.FORMS))
def test_a_job_without_points_gives_a_file_without_values(api: APIClient, branch: Branch, form: str) -> None:
    assert fetched(api, rows.make_job(branch), form)[1] != b""


def test_events_of_an_envelope_are_refused(api: APIClient, job: Job) -> None:
    answer = api.get(f"/api/v1/jobs/{job.pk}/loss_history/?format=tensorboard&points=2")
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == ["points"]


def test_a_package_that_is_missing_is_named_with_the_command_that_brings_it(
    api: APIClient, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = api.get(f"/api/v1/jobs/{job.pk}/loss_history/?format=parquet")
    assert answer.status_code == 422
    assert "`pip install 'acc[data]'` brings it" in answer.json()["errors"]["format"][0]


def test_a_shell_writes_a_new_file_and_changes_none_that_is_there(job: Job, tmp_path: Path) -> None:
    out = tmp_path / "losses.parquet"
    words = ("jobs", "losses", str(job.pk), "--format", "parquet")
    assert shell(*words, "--out", str(out)) == (0, f"4 steps written to {out}\n", "")
    assert parquet.read_table(out).num_rows == 4
    before = out.read_bytes()
    status, _, said = shell(*words, "--out", str(out))
    assert (status, said) == (2, f"error: out: {out} is there already; name a new file\n")
    assert out.read_bytes() == before
    assert shell(*words)[2].startswith("error: out: parquet is no text")
    for name, form in (("a.parquet", b"PAR1"), ("a.csv", b'"step"'), ("events.out.tfevents.7", b"\x18")):
        shell("jobs", "losses", str(job.pk), "--out", str(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(form.strip(b'"')), name
    said = shell("jobs", "losses", str(job.pk), "--format", "xlsx")[2]
    assert said == "error: format: 'xlsx' is none of: csv, parquet, tensorboard\n"
