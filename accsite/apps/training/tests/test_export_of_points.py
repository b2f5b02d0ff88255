"""The losses of any job as files that other programs read, by page, API and shell."""

from __future__ import annotations

import io

import numpy as np
import pytest
from django.core.management import call_command

from accsite.apps.training.tests.test_tracked_runs import Loop


@pytest.fixture
def job(user, plugins):
    loop = Loop(user)
    loop.log(["loss", "kl"], [0, 1, 3], [[1, 2, 3], [4, 5, 6]])
    loop.log(["kl"], [5], [[7]])
    loop.send()
    return loop.job


def test_parquet_is_read_by_pyarrow(page, job, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    answer = page.get(f"/api/v1/jobs/{job.pk}/loss_history/?format=parquet&series=raw/loss,raw/kl")
    assert answer["Content-Disposition"] == 'attachment; filename="losses.parquet"'
    table = parquet.read_table(io.BytesIO(answer.content)).to_pydict()
    assert table["step"] == [0, 1, 3, 5]
    assert table["raw/loss"] == [1, 2, 3, None]
    assert table["raw/kl"] == [4, 5, 6, 7]
    assert table["wall"][0] == 1e9
    call_command("jobs", "losses", job.pk, "--out", str(tmp_path / "x.parquet"))
    assert parquet.read_table(tmp_path / "x.parquet").num_rows == 4


def test_events_are_read_by_tensorboard(page, job, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    answer = page.get(f"/api/v1/jobs/{job.pk}/loss_history/?format=tfevents")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "events.out.tfevents.1").write_bytes(answer.content)
    call_command("jobs", "losses", job.pk, "--out", str(tmp_path / "events.out.tfevents.2"))
    for folder in (tmp_path / "a", tmp_path):
        read = accumulator.EventAccumulator(str(folder))
        read.Reload()
        assert sorted(read.Tags()["scalars"]) == ["raw/kl", "raw/loss", "total"]
        assert [(each.step, each.value) for each in read.Scalars("raw/kl")] == [
            (0, 4),
            (1, 5),
            (3, 6),
            (5, 7),
        ]


def test_csv_lands_in_a_file(job, tmp_path):
    call_command("jobs", "losses", job.pk, "--out", str(tmp_path / "x.csv"))
    assert (tmp_path / "x.csv").read_text().splitlines()[1] == "0,1.0,4.0,1.0"


@pytest.mark.parametrize("kind", ["parquet", "tfevents"])
def test_an_envelope_or_too_much_at_once_is_refused_with_a_sentence(page, job, user, kind):
    where = f"/api/v1/jobs/{job.pk}/loss_history/?format={kind}"
    answer = page.get(f"{where}&points=2")
    assert (answer.status_code, "ask without points" in answer.json()["detail"]) == (422, True)
    far = Loop(user, "own/far", run="far")
    far.log(["loss"], [10**10], [[1]])
    far.send()
    answer = page.get(f"/api/v1/jobs/{far.job.pk}/loss_history/?format={kind}")
    assert (answer.status_code, "are too many at once" in answer.json()["detail"]) == (422, True)
    assert np.isfinite(far.job.step)
