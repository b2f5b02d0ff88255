"""A run is drawn over time: when each step was at work, what it came to, and how far what runs has come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes import pages, selectors
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.services import recipes
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.tests.markup import folded

BEGAN = timezone.now() - timedelta(minutes=5)


@pytest.fixture
def run(db: None, user: Any) -> RecipeRun:
    """A run of 100 seconds that has ended."""
    rows.make_plugin(PluginKind.RECIPE, "Arms", label="Arms", description="Compares two.\n\nIn pairs.")
    made = recipes.submit_recipe(actor=user, recipe="Arms")
    Job.objects.filter(recipe_run=made).update(state=JobState.SUCCEEDED)
    return RecipeRun.objects.get(pk=made.pk)


def step(run: RecipeRun, path: str, verb: str, start: float, end: float | None, **fields: Any) -> RecipeStep:
    """Return a step that was at work from ``start`` to ``end`` seconds after the run began (None: it still is)."""
    state = "SUCCEEDED" if end is not None else "RUNNING"
    made = RecipeStep.objects.create(run=run, path=path, verb=verb, **{"state": state, **fields})
    made.started_at = BEGAN + timedelta(seconds=start)
    made.finished_at = None if end is None else BEGAN + timedelta(seconds=end)
    made.save()
    return made


def drawn(run: RecipeRun) -> pages.Gantt:
    """Return the run as it is drawn."""
    return pages.gantt(selectors.run_page(RecipeRun.objects.select_related("job").get(pk=run.pk)))


def test_each_step_stands_where_it_was_at_work_with_what_it_came_to(run: RecipeRun, branch: Branch) -> None:
    job = rows.make_job(branch, state="SUCCEEDED")
    saved = rows.make_checkpoint(branch, job, losses={"total": 0.25})
    measured = rows.make_job(branch, kind="evaluate", state="SUCCEEDED")
    step(run, "1", "phase", 0, 50, args={"name": "root"}, phase="root")
    step(run, "2", "create_model", 1, 1, args={"name": "m"}, phase="root")
    step(run, "3", "train", 10, 50, phase="root", job=job, branch=branch, checkpoint=saved)
    step(run, "4", "phase", 50, 100, args={"name": "end"}, phase="end")
    found = {"metrics": {"digit/accuracy": 0.9, "ufr": 0.5, "other": 1}}
    step(run, "5", "evaluate", 60, 100, phase="end", job=measured, branch=branch, result=found)
    gantt = drawn(run)
    root, end = gantt.groups
    assert (root.phase.name, end.phase.name) == ("root", "end")
    assert [(dot.words, dot.x) for dot in root.dots] == [("create model m (None, latent None)", 1.0)]
    (line,) = root.lines
    assert (line.bar.x, line.bar.width) == (10, 40)
    assert [(each.name, each.value) for each in line.outcomes] == [("loss", 0.25)]
    assert line.checkpoint == saved
    assert [(each.name, each.value) for each in end.lines[0].outcomes] == [
        ("ufr", 0.5),
        ("digit accuracy", 0.9),
    ]
    assert (gantt.running, gantt.now, gantt.span) == (False, 100, 100)
    assert [tick.seconds for tick in gantt.ticks] == [0, 15, 30, 45, 60, 75, 90]


def test_a_phase_that_comes_again_for_another_seed_has_one_bar(run: RecipeRun) -> None:
    step(run, "1", "phase", 0, 20, args={"name": "root"}, phase="root")
    step(run, "2", "phase", 40, 100, args={"name": "root"}, phase="root")
    (group,) = drawn(run).groups
    assert group.bar is not None
    assert (group.bar.start, group.bar.end) == (0, 100)


def test_what_runs_reaches_to_this_moment_and_what_is_foreseen_has_no_bar(
    run: RecipeRun, branch: Branch
) -> None:
    Job.objects.filter(recipe_run=run).update(state=JobState.RUNNING)
    phases = [{"name": "root", "verbs": 1, "steps": 9}, {"name": "arms", "verbs": 2, "steps": 0}]
    RecipeRun.objects.filter(pk=run.pk).update(plan={"phases": phases, "steps": 9})
    step(run, "1", "phase", 0, None, args={"name": "root"}, phase="root")
    step(run, "2", "train", 10, None, phase="root", job=rows.make_job(branch, state="RUNNING"), branch=branch)
    gantt = drawn(run)
    root, arms = gantt.groups
    assert gantt.running
    assert gantt.now >= 300
    assert root.lines[0].bar.running
    assert root.lines[0].bar.end == gantt.now
    assert arms.bar is None


def test_a_run_of_many_steps_takes_no_more_queries(page: Any, run: RecipeRun, branch: Branch) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert page.get(f"/recipes/runs/{run.pk}/").status_code == 200
        return len(queries)

    def grow(path: int) -> None:
        job = rows.make_job(branch, state="SUCCEEDED")
        saved = rows.make_checkpoint(branch, job, losses={"total": 1.0})
        step(run, str(path), "train", path, path + 1, job=job, branch=branch, checkpoint=saved)

    grow(1)
    few = asked()
    for path in range(2, 12):
        grow(path)
    assert asked() == few


def test_a_card_says_what_a_recipe_makes_and_what_its_newest_run_was_made_of(
    page: Any, run: RecipeRun
) -> None:
    phases = [{"name": "root", "verbs": 3, "steps": 9}, {"name": "arms", "verbs": 1, "steps": 0}]
    RecipeRun.objects.filter(pk=run.pk).update(plan={"phases": phases, "steps": 9})
    text = folded(page.get("/recipes/"))
    assert "<p>Compares two.</p>" in text
    assert "root → arms" in text
    assert f'<a href="/recipes/runs/{run.pk}/">run {run.pk}</a>' in text


def test_what_a_run_was_made_of_is_told_only_to_who_may_see_it(user: Any, run: RecipeRun) -> None:
    from django.contrib.auth import get_user_model

    other = get_user_model().objects.create_user("eve", password="a long enough one")
    assert set(pages.made(user)) == {"Arms"}
    assert pages.made(other) == {}
