"""A recipe whose worker dies goes on where it was: nothing done is done again, and the weights are the same."""

from __future__ import annotations

import os
import signal

import pytest

from accsite.apps.jobs.models import Job
from accsite.apps.recipes.services import recipes
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
    assert {row["metric"] for row in reload(run).result} >= {"digit/accuracy", "reconstruction/psnr"}
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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_factor_experiment_reports_every_figure_their_mean_and_what_the_curriculum_costs(make_stack):
    stack = make_stack()
    run, _ = start(stack, "FactorExperiment", steps=10, seeds=2, dataset=DATASET)
    stack.state(run.job, "SUCCEEDED", seconds=600)
    result = reload(run).result
    assert [(row["seed"], row["branch"]) for row in result[:6]] == [
        (seed, branch) for seed in (0, 1) for branch in ("mnist_only", "with_curriculum", "difference")
    ]
    empty = [
        (row["seed"], name) for row in result for name, value in row.items() if value is None or value == ""
    ]
    assert empty == []
    by_row = {(row["seed"], row["branch"]): row for row in result}
    for name in ("digit/accuracy", "reconstruction/psnr"):  # of rows that nobody trained on
        arms = [by_row[seed, "with_curriculum"][name] for seed in (0, 1)]
        mean, spread = (
            by_row["mean of 2", "with_curriculum"][name],
            by_row["spread of 2", "with_curriculum"][name],
        )
        assert mean == pytest.approx(sum(arms) / 2)
        assert spread == pytest.approx(abs(arms[0] - arms[1]) / 2**0.5)
        lost = by_row[0, "difference"][name]
        assert lost == pytest.approx(arms[0] - by_row[0, "mnist_only"][name])
    cost = by_row[0, "difference"]
    assert (cost["steps"], cost["images"]) == (0, 10 * 64 * 2)
    assert all(by_row[0, branch]["seconds"] > 0 for branch in ("mnist_only", "with_curriculum"))
    told = list(run.steps.filter(verb="log").values_list("message", flat=True))
    assert any("cost of the curriculum: both arms took 10 steps" in line and "psnr" in line for line in told)
