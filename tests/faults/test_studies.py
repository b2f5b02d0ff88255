"""A study is done once over real workers, whatever dies in the middle, and says what may be said of it."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from accsite.apps.jobs.models import Job
from accsite.apps.studies.models import StudyResult
from accsite.apps.studies.selectors import claims_of, results_of, state_of
from accsite.apps.studies.services import studies
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.services import experiments, jobs, tasks
from tests.stack import DATASET, MODEL, children_of, reload

STEPS = 40
SEEDS = 3


def two_branches():
    """Return two branches of one model that differ in the weight of a task alone."""
    if known := list(Branch.objects.filter(experiment__slug="question").order_by("pk")):
        return known
    made = experiments.create_experiment(actor=None, name="question", model={**MODEL, "seed": 99})
    first = made.branches.get()
    found = [first]
    for name in ("heavier",):
        found.append(experiments.create_branch(actor=None, experiment=made, name=name, tasks="none"))
    for branch, weight in zip(found, (1.0, 4.0), strict=True):
        tasks.add_task(actor=None, branch=branch, task_class="ReconstructionTask", dataset=DATASET)
        tasks.add_task(
            actor=None,
            branch=branch,
            task_class="ClassificationTask",
            dataset=DATASET,
            name="digit",
            weight=weight,
            factor="digit",
            params={"target_name": "digit"},
        )
    return found


def written_down(**how):
    first, other = two_branches()
    return studies.repeat_branch(
        actor=None, branch=first, others=[other], seeds=SEEDS, outcome="digit/accuracy", steps=STEPS, **how
    )


def begun(stack, study):
    """Start a study over real workers, and return that of recipes; what a kill leaves unrung the sweeper rings for."""
    stack.sweeper()
    worker = stack.worker("recipe-1", "recipe", wait=False)
    evaluator = stack.worker("eval-1", "eval,default", wait=False)
    stack.worker()
    for process in (worker, evaluator):
        stack.until(
            lambda process=process: "worker_serving" in process.output, what=f"{process.name} serving"
        )
    return studies.start_study(actor=None, study=study), worker


def numbers(study):
    """Return (arm, seed) -> what was measured, of those that are done."""
    done = [each for each in results_of(study) if each.status == "succeeded"]
    return {(each.arm, each.seed): each.values["digit/accuracy"].value for each in done}


@pytest.mark.long(20)
def test_trainings_whose_recipe_was_killed_before_it_rang_for_them_are_rung_for_by_the_sweeper(stack):
    worker = stack.worker("recipe-1", "recipe", wait=False)
    stack.worker()
    study = studies.start_study(actor=None, study=written_down())
    stack.state(study.run.job, "RUNNING")
    theirs = Job.objects.filter(recipe_steps__run=study.run, kind="train").order_by("pk")
    stack.redis.pause()
    try:
        stack.until(lambda: theirs.count() == 2, what="a training of each arm")
        (child,) = children_of(worker.zygote())
        os.kill(child, signal.SIGKILL)
        stack.until(lambda: reload(study.run.job).workers_lost == 1, what="the loss to be seen")
        unrung = list(theirs)
    finally:
        stack.redis.resume()
    assert [job.outbox.get().rings for job in unrung] == [0, 0]

    stack.sweeper()
    for job in unrung:
        stack.state(job, "SUCCEEDED")
        assert (job.attempt, theirs.filter(branch=job.branch).count()) == (1, 1)
    assert reload(study.run.job).attempt == 2


@pytest.mark.long(110)
@pytest.mark.timeout(600)
def test_a_study_whose_worker_is_killed_does_nothing_twice_and_comes_to_the_same_numbers(stack):
    study, worker = begun(stack, written_down())
    done = study.results.filter(state=StudyResult.State.SUCCEEDED)
    stack.until(lambda: done.count() >= 2, what="two results", seconds=120)
    known = numbers(study)

    (child,) = children_of(worker.zygote())
    os.kill(child, signal.SIGKILL)
    stack.state(study.run.job, "SUCCEEDED", seconds=240)

    study = reload(study)
    assert study.run.job.attempt == 2
    after = numbers(study)
    assert len(after) == 2 * SEEDS
    assert known.items() <= after.items()
    theirs = Job.objects.filter(recipe_steps__run=study.run)
    assert theirs.filter(kind="train").count() == theirs.filter(kind="evaluate").count() == 2 * SEEDS
    assert set(theirs.values_list("attempt", flat=True)) == {1}
    of_seeds(study)
    (claim,) = claims_of(study)
    assert claim["decision"] == "not decided yet"
    assert "3 seeds cannot decide at .05 with a two-sided test; 6 can" in claim["sentence"]
    extended(stack, study, after)
    stopped(stack, after)


def stopped(stack, numbers_of_the_other):
    """Another of the same plan, whose run is stopped with all its trainings, comes to the same numbers."""
    study: Any = studies.start_study(actor=None, study=written_down())
    training = Job.objects.filter(kind="train", state="RUNNING", step__gte=1)
    stack.until(training.first, what="a training", seconds=60)
    jobs.request_control(actor=None, job=study.run.job, kind="stop")
    stack.state(study.run.job, "CANCELLED")
    assert state_of(reload(study)) == "stopped"
    study = studies.start_study(actor=None, study=reload(study))
    stack.state(study.run.job, "SUCCEEDED", seconds=240)
    assert numbers(reload(study)) == numbers_of_the_other


def of_seeds(study):
    """Arms of a seed are in one experiment, with its seed, and hold out the same rows."""
    for seed in range(SEEDS):
        rows = list(study.results.filter(seed=seed).select_related("branch__experiment", "checkpoint"))
        assert len({row.branch.experiment_id for row in rows}) == 1
        assert {row.checkpoint.spec["model"]["seed"] for row in rows} == {seed}
        assert {row.checkpoint.spec["train"]["seed"] for row in rows} == {seed}
        assert len({row.values["digit/accuracy"]["sample"] for row in rows}) == 1
    weights = {"main": 1.0, "heavier": 4.0}
    for row in study.results.select_related("checkpoint"):
        (task,) = [task for task in row.checkpoint.spec["tasks"] if task["key"] == "digit"]
        assert task["weight"] == weights[row.arm]


def extended(stack, study, before):
    """Seeds that are added are done, and nothing else is."""
    studies.add_seeds(actor=None, study=study, more=1)
    study = reload(study)
    assert study.planned.changed_after_looking
    stack.state(study.run.job, "SUCCEEDED", seconds=120)
    after = numbers(reload(study))
    assert before.items() < after.items()
    assert len(after) == 2 * (SEEDS + 1)
    ends = Checkpoint.objects.filter(kind="final", job__recipe_steps__run=study.run)
    assert ends.count() == 2 * (SEEDS + 1)
    assert state_of(reload(study)) == "done"
