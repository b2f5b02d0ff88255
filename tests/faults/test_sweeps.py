"""A sweep over real workers comes to the same trials and the same numbers, whatever dies in the middle."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from accsite.apps.jobs.models import Job
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.selectors import results_of, state_of, study_state
from accsite.apps.studies.services import studies, sweeps
from tests.faults.test_studies import begun, two_branches
from tests.stack import children_of, reload

SPACE = "train.lr: 1e-4 to 1e-1 log; tasks.digit.weight: .5 to 20 log"
TRIALS, SEEDS = 4, 2


def written_down() -> Study:
    first, _ = two_branches()
    return sweeps.sweep_branch(
        actor=None,
        branch=first,
        space=SPACE,
        outcome="digit/accuracy",
        trials=TRIALS,
        seeds=SEEDS,
        steps=20,
        sampler="tpe",
        prune=True,
    )


def outline(study):
    """Return what was drawn, and what was measured of each trial and seed."""
    values = {(each.arm, each.seed): each.values["digit/accuracy"].value for each in results_of(study)}
    return study.swept.drawn, values


@pytest.mark.long(110)
@pytest.mark.timeout(600)
def test_a_sweep_whose_worker_is_killed_comes_to_the_same_trials_and_numbers(stack):
    study, worker = begun(stack, written_down())
    done = study.results.filter(state=StudyResult.State.SUCCEEDED)
    stack.until(lambda: done.count() >= 3, what="three results", seconds=180)
    drawn = reload(study).swept.drawn
    assert drawn

    (child,) = children_of(worker.zygote())
    os.kill(child, signal.SIGKILL)
    stack.state(study.run.job, "SUCCEEDED", seconds=300)

    study = reload(study)
    assert study.run.job.attempt == 2
    assert state_of(study) == "done"
    assert [trial.values for trial in study.swept.drawn[: len(drawn)]] == [trial.values for trial in drawn]
    assert len(study.swept.drawn) == TRIALS
    theirs = Job.objects.filter(recipe_steps__run=study.run)
    count = study.results.count()
    assert theirs.filter(kind="train").count() == theirs.filter(kind="evaluate").count() == count
    told = study_state(None, study)["sweep"]
    assert told is not None
    assert told["ranking"][0]["rank"] == 1

    again: Any = studies.start_study(actor=None, study=written_down())
    stack.state(again.run.job, "SUCCEEDED", seconds=300)
    assert outline(reload(again)) == outline(study)
