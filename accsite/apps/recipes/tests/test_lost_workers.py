"""A run of a recipe that gets on outlives any number of lost workers; one that does not fails."""

from __future__ import annotations

import pytest

from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.services import recipe_steps
from accsite.apps.recipes.services.recipe_steps import Call, Done
from accsite.apps.training.tests import rows

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def run() -> RecipeRun:
    rows.make_worker("recipe-1", queues=("recipe",))
    return RecipeRun.objects.create(
        recipe="Long", label="Long", job=rows.make_job(kind=JobKind.RECIPE, queue="recipe")
    )


def lost(run: RecipeRun, *, calls: int, within: RecipeRun | None = None) -> Job:
    """Return the job of a run that lost its worker after so many calls, of it or of a run within it."""
    assert run.job is not None
    claim = lifecycle.claim(run.job.pk, "recipe-1")
    assert claim is not None
    lifecycle.start(run.job.pk, claim.attempt)
    for number in range(1, calls + 1):
        call = Call(str(number), "log", {"text": "on"})
        recipe_steps.begin(within or run, run.job.pk, claim.attempt, call, lambda _: Done())
    assert lifecycle.lose(run.job.pk, claim.attempt, "the machine went down")
    run.job.refresh_from_db()
    return run.job


def test_one_that_gets_on_between_its_losses_never_fails_of_them(run: RecipeRun) -> None:
    for calls in range(1, 6):
        job = lost(run, calls=calls)
        assert (job.state, job.workers_lost) == (JobState.QUEUED, 1)


def test_what_a_run_within_it_does_counts_as_its_own(run: RecipeRun) -> None:
    assert lost(run, calls=1).workers_lost == 1
    step = RecipeStep.objects.get(run=run)
    inner = RecipeRun.objects.create(recipe="Study", label="study", within=step)
    assert [lost(run, calls=calls, within=inner).workers_lost for calls in (1, 1, 2)] == [1, 2, 1]


def test_one_that_comes_no_further_than_before_fails(run: RecipeRun) -> None:
    assert [lost(run, calls=2).workers_lost for _ in range(3)] == [1, 2, 3]
    assert run.job is not None
    assert run.job.state == JobState.FAILED
    assert "given up after 3 lost workers" in run.job.message
