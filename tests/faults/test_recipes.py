"""A recipe whose worker dies goes on where it was: nothing done is done again, and the weights are the same."""

from __future__ import annotations

import os
import signal

import pytest

from accsite.apps.jobs.models import Job
from accsite.apps.recipes.services import recipes
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.training.services import jobs
from tests.stack import DATASET, children_of, final, reload, undisturbed

QUICKSTART = {"steps": 80}


def start(stack, recipe="Quickstart", **params):
    """Return a run whose recipe, train and evaluation workers are real processes, and the recipe's worker."""
    worker = stack.worker("recipe-1", "recipe", wait=False)
    evaluator = stack.worker("eval-1", "eval,default", wait=False)
    stack.worker()
    for process in (worker, evaluator):
        stack.until(
            lambda process=process: "worker_serving" in process.output, what=f"{process.name} serving"
        )
    given = params if recipe != "Quickstart" else {**QUICKSTART, **params}
    return recipes.submit_recipe(actor=None, recipe=recipe, params=given), worker


def training(run, at_least=10):
    """Return the train job of a run once it has made some steps."""
    return Job.objects.filter(recipe_steps__run=run, kind="train", step__gte=at_least).first()


@pytest.mark.long(22)
def test_a_killed_recipe_resumes_in_its_phase_and_a_stopped_one_tells_what_it_reached(stack):
    run, worker = start(stack)
    train = stack.until(lambda: training(run), what="the recipe to train")
    done = {step.path: (step.pk, step.finished_at) for step in run.steps.filter(state="SUCCEEDED", job=None)}
    assert [step.args["name"] for step in run.steps.filter(verb="phase")] == ["prepare", "train"]

    (child,) = children_of(worker.zygote())
    os.kill(child, signal.SIGKILL)
    stack.state(run.job, "SUCCEEDED")

    assert (run.job.attempt, run.job.workers_lost) == (2, 1)
    after = {step.path: (step.pk, step.finished_at) for step in run.steps.all()}
    assert {path: after[path] for path in done} == done
    assert list(Job.objects.filter(kind="train", pk__gt=run.job.pk)) == [train]
    assert reload(train).attempt == 1
    assert final(train).sha256 == undisturbed(train)[0]
    assert final(train).tag == "quickstart"
    metrics = [row["metric"] for row in reload(run).result]
    assert metrics[:5] == ["ufr", "unified", "factored", "digit/accuracy", "reconstruction/psnr"]
    assert metrics[5:] == sorted(metrics[5:]) != []
    assert run.job.step == run.job.total_steps == QUICKSTART["steps"]

    stopped(stack, worker)


def stopped(stack, worker):
    """Stop another run in the middle: its train job stops too, and what is told is the step that it reached."""
    run = recipes.submit_recipe(actor=None, recipe="Quickstart", params={"steps": 100_000})
    assert run.job is not None
    train = stack.until(lambda: training(run), what="the second recipe to train")
    jobs.request_control(actor=None, job=run.job, kind="stop")
    stack.state(run.job, "CANCELLED")
    stack.state(train, "CANCELLED", "FAILED")
    assert f"job {train.pk} stopped at step {train.step:,} of 100,000" in run.job.message
    assert final(train).job_step == train.step < 100_000
    assert run.steps.get(verb="train").state == "CANCELLED"
    assert worker.alive


@pytest.mark.long(90)
@pytest.mark.timeout(900)
def test_a_recipe_that_is_killed_in_its_study_goes_on_in_it_by_its_one_job(make_stack):
    stack = make_stack()
    run, worker = start(stack, "FactorExperiment", steps=10, seeds=1, dataset=DATASET)
    done = StudyResult.objects.filter(study__run__within__run=run, state=StudyResult.State.SUCCEEDED)
    stack.until(done.first, what="a result of the study", seconds=240)
    known = {row.arm: row.values for row in done.all()}

    (child,) = children_of(worker.zygote())
    os.kill(child, signal.SIGKILL)
    stack.state(run.job, "SUCCEEDED", seconds=400)

    run = reload(run)
    assert (run.job.attempt, run.job.workers_lost) == (2, 1)
    assert Job.objects.filter(kind="recipe").count() == 1
    study = Study.objects.get(run__within__run=run)
    theirs = Job.objects.filter(recipe_steps__run=study.run).distinct()
    assert theirs.filter(kind="train").count() == done.count() == 3
    assert theirs.filter(kind="evaluate").count() == 3, (
        "what one evaluation has measured is not measured again"
    )
    assert set(theirs.values_list("attempt", flat=True)) == {1}
    assert known.items() <= {row.arm: row.values for row in done}.items()
    result = run.result
    assert [row["arm"] for row in result] == ["digits only", "curriculum", "shuffled control"]
    for row in result:
        means = {name: row[name] for name in ("ufr", "matched ufr", "cleanness", "accuracy", "psnr")}
        assert None not in means.values()
        assert row["seconds a seed"] > 0
    assert [row["images a seed"] for row in result] == [10 * 64 * sets for sets in (1, 3, 2)]
    told = list(run.steps.filter(verb="log").values_list("message", flat=True))
    assert sum("one checkpoint of each arm says nothing about a method" in line for line in told) == 7
    assert sum("s a seed" in line for line in told) == 3
