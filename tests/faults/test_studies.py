"""A study is done once over real workers, whatever dies in the middle, and says what may be said of it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from typing import Any

import pytest

from accsite.apps.jobs.models import Job
from accsite.apps.registry.models import Plugin
from accsite.apps.studies.models import StudyResult
from accsite.apps.studies.selectors import claims_of, results_of, state_of
from accsite.apps.studies.services import studies
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.services import experiments, jobs, tasks
from accsite.supervisor.redis import free_port
from tests.faults.test_starter import none_left
from tests.stack import DATASET, MODEL, ROOT, children_of, reload
from workers.machine.processes import descendants

STEPS = 40
SEEDS = 3
KILLS_DRAWN_BY = 20261130
"""The seed of the moments at which all is killed."""


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
    study: Any = studies.start_study(actor=None, study=written_down())
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


@pytest.mark.long(150)
@pytest.mark.timeout(900)
def test_all_processes_killed_at_three_moments_cost_a_study_nothing(make_stack):
    stack = make_stack()
    study: Any = studies.start_study(actor=None, study=written_down())
    theirs = Job.objects.filter(recipe_steps__run=study.run)
    drawn, known = random.Random(KILLS_DRAWN_BY), numbers(study)
    for kill in range(4):
        platform = up(stack)
        if kill == 3:
            break
        ended = study.run.steps.exclude(finished_at=None)
        before = ended.count()
        stack.until(lambda ended=ended, before=before: ended.count() > before, what="a call", seconds=120)
        time.sleep(drawn.uniform(0, 2))
        assert reload(study.run.job).state == "RUNNING"
        assert numbers(reload(study)).items() >= known.items()
        known = numbers(study)
        everything = [platform.popen.pid, *descendants(platform.popen.pid)]
        drawn.shuffle(everything)
        for pid in everything:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        platform.popen.wait()
        none_left(stack, everything)
    stack.state(study.run.job, "SUCCEEDED", seconds=240)
    assert study.run.job.attempt == 4
    done = numbers(reload(study))
    assert len(done) == 2 * SEEDS
    for kind in ("train", "evaluate"):
        assert (
            theirs.filter(kind=kind, state="SUCCEEDED").count()
            == theirs.filter(kind=kind).count()
            == 2 * SEEDS
        )
    of_seeds(study)

    undisturbed: Any = studies.start_study(actor=None, study=written_down())
    stack.state(undisturbed.run.job, "SUCCEEDED", seconds=240)
    assert numbers(reload(undisturbed)) == done
    assert weights(reload(undisturbed)) == weights(study)


def up(stack):
    """Start a platform with a Redis of its own."""
    command = ("manage.py", "up", "--port", str(free_port()), "--device", "cpu", "-v", "2")
    return stack.start("up", *command, REDIS_URL="")


def weights(study):
    """Return (arm, seed) -> the last losses of its training, to the last bit."""
    return {(row.arm, row.seed): row.checkpoint.losses for row in study.results.select_related("checkpoint")}


EDITS = {
    "AccDataset, Baseline": "AccDataset, Param, Baseline",
    'label = "Classification"\n': 'label = "Classification"\n    margin = Param(0.5, min=0, max=1)\n',
    "return F.cross_entropy(": "return self.margin * 0.0 * F.cross_entropy(",
}
"""What somebody makes of a task: a parameter more, and a loss from which nothing is learned."""


@pytest.mark.long(60)
def test_a_study_keeps_the_version_of_a_task_whose_file_is_edited_while_seeds_wait(make_stack, tmp_path):
    root = tmp_path / "plugins"
    shutil.copytree(ROOT / "plugins", root)
    stack = make_stack(ACC_PLUGINS=str(root))
    stack.watcher()
    study, _ = begun(stack, written_down())
    planned = study.planned.settings["plugins"]["ClassificationTask"]
    trainings = Job.objects.filter(recipe_steps__run=study.run, kind="train")
    stack.until(lambda: trainings.filter(state="RUNNING").exists(), what="the first training", seconds=120)

    file = root / "tasks" / "classification.py"
    text = file.read_text()
    for before, after in EDITS.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    file.write_text(text)
    task = Plugin.objects.get(name="ClassificationTask")
    stack.until(lambda: reload(task).source_id != planned, what="the edit to be known")
    assert study.results.filter(state=StudyResult.State.WAITING).exists()

    stack.state(study.run.job, "SUCCEEDED", seconds=240)
    assert len(numbers(reload(study))) == 2 * SEEDS
    used = {job.spec["plugins"]["ClassificationTask"] for job in trainings}
    assert used == {planned}
    asked = [task["params"] for job in trainings for task in job.spec["tasks"] if task["key"] == "digit"]
    assert asked == [study.planned.settings["tasks"]["digit"]["params"]] * 2 * SEEDS
    assert written_down().planned.settings["plugins"]["ClassificationTask"] == task.source_id


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
