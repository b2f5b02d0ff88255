"""Runs of other trackers on the server are taken over by a shell: each once, and what has grown is continued."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acc.errors import InvalidInput
from acc.track.tests.stores import mlflow_store
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Experiment, LossBlock, TrackedRun, Visibility
from accsite.apps.training.selectors import loss_history
from accsite.apps.training.services import stores
from accsite.tests.markup import folded
from accsite.tests.shell import shell

pytestmark = pytest.mark.django_db


def values(job: Job, name: str) -> dict[int, float]:
    header, columns = loss_history(job)
    row = columns[header["series"].index(name)]
    return {header["start"] + int(at): float(row[at]) for at in np.flatnonzero(~np.isnan(row))}


def taken(actor: Any, path: Path, **how: Any) -> list[stores.TakenOver]:
    return list(stores.take_over(actor=actor, path=path, **how))


def test_a_run_comes_in_once_and_what_it_has_beyond_that_is_added(
    user: Any, plugins: Any, tmp_path: Path
) -> None:
    mlruns, metric = mlflow_store(tmp_path, "0 1.0 0\n1000 0.5 1\n1500 nan 5\n", "4")
    [first] = taken(user, mlruns)
    job = Job.objects.get()
    assert (first.job, first.points, first.known, first.faults) == (job.pk, 3, False, ())
    assert (job.kind, job.state, str(job.branch), job.created_by) == ("track", "FAILED", "mine/first", user)
    assert values(job, "raw/loss") == {0: 1.0, 1: 0.5}
    before = list(LossBlock.objects.values_list("pk", "values"))
    [again] = taken(user, mlruns)
    assert (again.job, again.points, again.known, str(again)) == (
        job.pk,
        0,
        True,
        f"mine/first, job {job.pk}: nothing new",
    )
    assert list(LossBlock.objects.values_list("pk", "values")) == before
    metric.write_text("0 1.0 0\n1000 0.5 1\n1500 nan 5\n2000 0.25 2\nbroken\n")
    meta = metric.parent.parent / "meta.yaml"
    meta.write_text(meta.read_text().replace("status: 4", "status: 3"))
    [grown] = taken(user, mlruns)
    assert (grown.points, grown.known) == (1, True)
    assert "1 line cannot be read, first line 5: 'broken'" in grown.faults[0]
    job.refresh_from_db()
    assert (job.state, values(job, "raw/loss")) == ("SUCCEEDED", {0: 1.0, 1: 0.5, 2: 0.25})
    assert TrackedRun.objects.count() == 1
    assert job.events.filter(kind="alarm").count() == 1, "that a value was no number is told once"


def test_a_run_that_is_continued_has_what_it_would_have_had_at_once(
    user: Any, plugins: Any, tmp_path: Path
) -> None:
    lines = ["0 1.0 0\n", "1000 nan 1\n", "2000 inf 2\n", "3000 nan 3\n", "4000 -inf 4\n", "5000 2.0 5\n"]
    mlruns, metric = mlflow_store(tmp_path, "".join(lines[:2]))
    for count in range(2, len(lines) + 1):
        metric.write_text("".join(lines[:count]))
        [run] = taken(user, mlruns)
    [again] = taken(user, mlruns)
    assert again.points == 0
    [whole] = taken(user, mlruns, experiment="At once")
    parts = [values(Job.objects.get(pk=each.job or 0), "raw/loss") for each in (run, whole)]
    assert parts == [{0: 1.0, 2: np.inf, 4: -np.inf, 5: 2.0}] * 2


def test_a_run_goes_where_it_is_told_and_not_into_what_one_may_not_change(
    user: Any, plugins: Any, tmp_path: Path, django_user_model: Any
) -> None:
    other = django_user_model.objects.create_user("other")
    Experiment.objects.create(
        name="Study", slug="study", model_spec={}, owner=other, visibility=Visibility.PRIVATE
    )
    mlruns, _ = mlflow_store(tmp_path, "0 1.0 0\n")
    [run] = taken(user, mlruns, experiment="Study")
    assert run.job is not None
    made = Job.objects.get(pk=run.job).branch
    assert made is not None
    assert (made.experiment.name, made.experiment.slug, made.experiment.owner) == ("Study", "study-2", user)
    with pytest.raises(InvalidInput, match="experiment: "):
        taken(user, mlruns, experiment="a/b\0")
    with pytest.raises(InvalidInput, match="holds no runs"):
        taken(user, tmp_path / "nowhere")


def test_the_page_of_a_job_leads_to_the_runs_that_it_took_over(
    user: Any, plugins: Any, tmp_path: Path, client: Any
) -> None:
    mlruns, _ = mlflow_store(tmp_path, "0 1.0 0\nx\n")
    [run] = taken(user, mlruns)
    job = Job.objects.create(
        kind=stores.KIND,
        queue="default",
        spec={},
        state="SUCCEEDED",
        created_by=user,
        result={"runs": [asdict(each) for each in (run, stores.TakenOver("mine/no"))] * 60},
    )
    client.force_login(user)
    page = folded(client.get(f"/jobs/{job.pk}/"))
    assert page.count(f'<a href="/jobs/{run.job}/" >mine/first, job {run.job}: 1 new point</a>') == 50
    assert page.count("mine/no: not taken over") == 50
    assert "first line 2: &#x27;x&#x27;" in page
    assert "and 20 more" in page
    assert "Import runs, queue" in page


def test_one_that_is_refused_keeps_no_other(user: Any, plugins: Any, tmp_path: Path) -> None:
    mlruns, _ = mlflow_store(tmp_path, "0 1.0 0\n")
    second = mlruns / "0" / "s"
    (second / "metrics").mkdir(parents=True)
    (second / "meta.yaml").write_text("run_id: s\nrun_name: wide\nstatus: 3\n")
    for number in range(600):
        (second / "metrics" / f"m{number}").write_text("0 1.0 0\n")
    found = {run.branch: run for run in taken(user, mlruns)}
    assert found["mine/first"].points == 1
    assert found["mine/wide"].job is None
    assert "a run has at most 512 series" in found["mine/wide"].faults[0]


def test_a_shell_takes_runs_over_as_nobody_or_as_a_user(user: Any, plugins: Any, tmp_path: Path) -> None:
    mlruns, metric = mlflow_store(tmp_path, "0 1.0 0\nx\n")
    status, out, err = shell("import_runs", str(mlruns))
    assert (status, out) == (1, f"mine/first, job {Job.objects.get().pk}: 1 new point\n")
    assert "cannot be read, first line 2: 'x'" in err
    metric.write_text("0 1.0 0\n")
    assert shell("import_runs", str(mlruns), "--user", user.username, "--experiment", "Mine too")[0] == 0
    assert Job.objects.latest("pk").created_by == user
    status, _, err = shell("import_runs", str(tmp_path / "nowhere"))
    assert (status, "error: path: " in err) == (2, True)
