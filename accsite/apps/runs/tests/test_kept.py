"""A run's row follows its job: made when it is submitted, brought up to date by whatever changes it."""

from __future__ import annotations

import numpy as np
import pytest

from acc.results import EvalResult, MetricValue
from acc.training.protocols import PointBlock
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.evaluation.services import recording
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.runs import services
from accsite.apps.runs.models import Run, SavedView, Value
from accsite.apps.studies.models import StudyResult
from accsite.apps.studies.services import life, running
from accsite.apps.studies.tests.made import write_down
from accsite.apps.training.services import points
from accsite.apps.training.services.jobs import submit_training
from accsite.apps.training.tests import rows
from accsite.apps.trees.services.deletion import delete_checkpoint, restore_deletion

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def values(job):
    found = Value.objects.filter(run=job.pk).values_list("column__name", "number", "text")
    return {name: text if number is None else number for name, number, text in found}


def test_a_run_is_kept_from_its_submit_to_its_end(branch, user):
    rows.make_task(branch, rows.make_dataset(), weight=2.0)
    job = submit_training(actor=user, branch=branch, train={"steps": 4, "lr": 0.01})
    assert Run.objects.get(job=job).state == "QUEUED"
    kept = values(job)
    assert (kept["train/lr"], kept["train/optimizer"], kept["train/steps"]) == (0.01, "adamw", 4)
    assert (kept["weight/reconstruction"], kept["data/datasets"]) == (2.0, "handwritten-digits")
    assert (kept["model/latent_dim"], kept["model/base_channels"]) == (16, 8)
    claim = lifecycle.claim(job.pk, rows.make_worker("w"))
    assert claim is not None
    lifecycle.start(job.pk, claim.attempt)
    assert Run.objects.get(job=job).state == "RUNNING"
    losses = np.array([[4.0, 1.0, 3.0, 2.0]], np.float32)
    points.append(job.pk, claim.attempt, PointBlock(0, ("raw/reconstruction",), losses, 0.0, 1.0))
    lifecycle.fail(job.pk, claim.attempt, "broke")
    run = Run.objects.get(job=job)
    assert (run.state, run.step, run.created_by) == ("FAILED", 4, user)
    assert run.seconds is not None
    kept = values(job)
    assert (kept["loss/reconstruction"], kept["best/reconstruction"]) == (2.0, 1.0)


def test_a_run_has_the_numbers_of_its_farthest_checkpoint_that_was_measured_on_rows_held_out(
    branch, make_run
):
    job = make_run()
    for step, ufr, on in ((20, 0.8, "held_out"), (10, 0.3, "held_out"), (30, 0.95, "all")):
        node = rows.make_checkpoint(branch, job, step=step, job_step=step)
        evaluation = Evaluation.objects.create(
            branch=branch, checkpoint=node, step=step, options={"rows": on}
        )
        Metric.objects.create(evaluation=evaluation, name="ufr", dataset="digits", value=ufr)
        Metric.objects.create(evaluation=evaluation, name="ufr", dataset="digits", value=0.1, concept="digit")
        with unit_of_work():
            touch(f"evaluations:{branch.pk}", f"job:{job.pk}")
    assert {name: value for name, value in values(job).items() if name.startswith("metric")} == {
        "metric/ufr on digits": 0.8
    }


@pytest.mark.parametrize("state", ["SUCCEEDED", "RUNNING"])
def test_what_is_measured_of_one_run_writes_no_other_of_its_branch(make_run, branch, state):
    jobs = [make_run(ufr=0.1, state=state) for _ in range(3)]
    before = dict(Run.objects.values_list("job", "kept_at"))
    measuring = rows.make_job(
        branch,
        kind=JobKind.EVALUATE,
        state="RUNNING",
        attempt=1,
        checkpoint=jobs[1].checkpoints.get(),
        spec={"suite": ["metrics"]},
    )
    number = MetricValue("digit", "accuracy", 0.75, higher_is_better=True)
    recording.record(measuring.pk, 1, EvalResult(step=20, metrics=[number], dataset_key="digits"))
    after = dict(Run.objects.values_list("job", "kept_at"))
    assert [job for job in after if after[job] != before[job]] == [jobs[1].pk]
    assert 0.75 in values(jobs[1]).values()


def test_what_was_not_kept_is_written_and_what_is_gone_is_forgotten(make_run, branch):
    job = make_run(lr=0.5)
    Run.objects.all().delete()
    assert services.write_all(missing=True) == 1
    assert services.write_all(missing=True) == 0
    job.spec["train"] = {"lr": 0.25}
    job.save()
    assert services.write_all() == 1
    assert {name for name in values(job) if name.startswith("train/")} == {"train/lr"}
    assert values(job)["train/lr"] == 0.25
    Job.objects.all().delete()
    assert not Run.objects.exists()
    assert not Value.objects.exists()


def test_a_transaction_that_fails_leaves_no_row(branch):
    job = rows.make_job(branch)

    def fails():
        with unit_of_work():
            touch(f"job:{job.pk}")
            raise RuntimeError("broke")

    with pytest.raises(RuntimeError):
        fails()
    assert not Run.objects.exists()


def test_a_configuration_of_a_loop_of_ones_own_becomes_columns(branch):
    config = {"lr": 0.1, "net": {"width": 8, "act": "relu"}, "amp": True, "layers": [1, 2], "odd": [{"a": 1}]}
    config |= {"x" * 300: 1, "huge": 10**400, "odd\x1bname": "a\x07b", "none": None, "": ""}
    deep: dict = {}
    config["deep"] = deep
    for _ in range(50):
        deep["in"] = deep = {}
    job = rows.make_job(branch, kind="track", spec={"config": config})
    services.write([job])
    assert values(job) == {
        "config/lr": 0.1,
        "config/net.width": 8,
        "config/net.act": "relu",
        "config/amp": "true",
        "config/layers": "1, 2",
        "config/huge": f"1{'0' * 199}",
        "config/odd\N{REPLACEMENT CHARACTER}name": "a\N{REPLACEMENT CHARACTER}b",
    }


def test_a_saved_view_of_the_same_name_is_changed(user):
    services.save_view(owner=user, name=" best  ones ", query="sort=-ufr")
    services.save_view(owner=user, name="best ones", query="sort=ufr")
    assert list(SavedView.objects.values_list("name", "query")) == [("best ones", "sort=ufr")]


def test_a_run_is_written_as_its_job_is_and_not_as_it_was_read(make_run):
    job = make_run(state="RUNNING")
    read_before = Job.objects.select_related("branch").get(pk=job.pk)
    Job.objects.filter(pk=job.pk).update(state="SUCCEEDED", step=10)
    services.write([read_before])
    run = Run.objects.get(job=job)
    assert (run.state, run.step) == ("SUCCEEDED", 10)


def test_what_was_measured_of_a_deleted_checkpoint_goes_and_comes_back_with_it(make_run, user):
    job = make_run(ufr=0.7)
    node = job.checkpoints.get()
    made = delete_checkpoint(actor=user, checkpoint=node)
    assert "metric/ufr on digits" not in values(job)
    restore_deletion(actor=user, experiment=node.experiment, deletion=made.id)
    assert values(job)["metric/ufr on digits"] == 0.7


def test_a_run_of_a_study_has_its_study_and_arm_until_that_is_removed(page, branch, user, make_run):
    rows.make_task(branch, rows.make_dataset())
    study = write_down([branch], user)
    row = study.results.get(seed=0)
    made = running.make_branch(actor=user, study_id=study.pk, arm="main", seed=0)
    job = make_run(made, ufr=0.5)
    StudyResult.objects.filter(pk=row.pk).update(job=job)
    make_run(ufr=0.4)
    assert {"study/study": study.slug, "study/arm": "main"}.items() <= values(job).items()
    grouped = page.get("/api/v1/runs/groups/?by=arm").json()
    assert {group["key"]: group["n"] for group in grouped["groups"]} == {"main": 1, "none": 1}
    life.remove_study(actor=user, study=study)
    assert not [name for name in values(job) if name.startswith("study/")]
