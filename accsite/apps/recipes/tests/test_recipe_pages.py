"""Recipes by page, API and shell: chosen, started, followed, stopped and resumed, by whom it belongs to."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.services import recipes
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.tests import rows
from accsite.errors import WrongState
from accsite.tests.markup import folded


@pytest.fixture
def recipe(db: None) -> Any:
    """A recipe with a parameter of each kind."""
    return rows.make_plugin(
        PluginKind.RECIPE,
        "FactorExperiment",
        label="Factor experiment",
        description="Compares two branches.",
        path="recipes/factor_experiment.py",
        params=[
            rows.named("steps", 100, min=1, max=500, help="of each branch"),
            rows.named("size", "quick", choices=("quick", "full")),
            rows.named("control", False),
        ],
    )


@pytest.fixture
def run(recipe: Any, user: Any) -> RecipeRun:
    """A run that waits in its queue."""
    return recipes.submit_recipe(actor=user, recipe="FactorExperiment", params={"steps": 20})


def step(run: RecipeRun, path: str, verb: str, **fields: Any) -> RecipeStep:
    """Return a step of a run, done unless said otherwise."""
    return RecipeStep.objects.create(run=run, path=path, verb=verb, **{"state": "SUCCEEDED", **fields})


def test_the_list_offers_each_recipe_and_its_form_has_exactly_its_parameters(page, recipe):
    listed = page.get("/recipes/").content.decode()
    assert "Factor experiment" in listed
    assert "/recipes/run/FactorExperiment/" in listed
    form = page.get("/recipes/run/FactorExperiment/").content.decode()
    assert 'name="params-steps" value="100" step="1" min="1" max="500"' in form
    assert "of each branch" in form
    assert '<option value="quick" selected>' in form
    assert '<option value="false" selected>' in form
    assert form.count("<label") == 4  # the three, and the seed


def test_a_refused_value_stands_beside_its_field_with_what_was_typed_kept(page, recipe):
    answer = page.post("/recipes/run/FactorExperiment/", {"params-steps": "900", "seed": "x"})
    text = answer.content.decode()
    assert answer.status_code == 422
    assert "above the most allowed, 500" in text
    assert 'value="900"' in text
    assert "not a whole number" in text
    assert not RecipeRun.objects.exists()


def test_starting_twice_with_one_key_makes_one_run(page, recipe):
    data = {"params-steps": "30", "params-size": "full", "seed": "4", "idempotency_key": "k1"}
    first, second = (page.post("/recipes/run/FactorExperiment/", data) for _ in range(2))
    run = RecipeRun.objects.get()
    assert first.url == second.url == f"/recipes/runs/{run.pk}/"
    assert run.params == {"steps": 30, "size": "full", "control": False}
    assert run.seed == 4
    assert (Job.objects.get().queue, Job.objects.get().kind) == ("recipe", "recipe")


def test_the_page_of_a_run_shows_phases_steps_log_and_result(page, run, branch):
    train = rows.make_job(branch, state=JobState.RUNNING, step=40, total_steps=100)
    run.plan = {
        "complete": True,
        "steps": 100,
        "phases": [{"name": "root", "verbs": 2, "steps": 100}, {"name": "arms", "verbs": 3, "steps": 0}],
    }
    run.result = [{"arm": "<img src=x>", "ufr": 0.5}, {"arm": "b", "ufr": None}]
    run.save()
    step(run, "1", "phase", args={"name": "root"}, phase="root", state="RUNNING")
    step(run, "2", "train", args={"train": {"steps": 100}}, phase="root", state="RUNNING", job=train, line=12)
    step(run, "10", "log", message="a line of the log")
    step(run, "3", "load_dataset", args={"slug": "digits"}, message="no such dataset", state="FAILED")
    text = folded(page.get(f"/recipes/runs/{run.pk}/"))
    assert "0 of 2 steps, trained 40 of 100" in text
    rows_shown = re.findall(r'id="step-\d+"> <th scope="row" class="mono">(\d+)</th>', text)
    assert rows_shown == ["1", "2", "3"]
    assert "to come" in text
    assert "40 / 100" in text
    assert "a line of the log" in text
    assert "no such dataset" in text
    assert "&lt;img src=x&gt;" in text
    assert f'data-topics="recipe:{run.pk}=' in text
    assert text.index("Result") < text.index("Over time") < text.index("Every step")


def test_a_run_is_stopped_and_resumed_from_its_page(page, run):
    url = f"/recipes/runs/{run.pk}/control/"
    page.post(url, {"kind": "stop"})
    run.refresh_from_db()
    assert run.job.state == JobState.CANCELLED
    page.post(url, {"kind": "resume"})
    run.refresh_from_db()
    assert run.job.state == JobState.QUEUED
    assert Job.objects.filter(kind="recipe").count() == 2
    refused = page.post(url, {"kind": "resume"}, headers={"HX-Request": "true"})
    assert refused.status_code == 422
    assert "is at work; only one that was stopped or failed is resumed" in refused.content.decode()


def test_resuming_tries_what_ended_the_run_and_nothing_else(run):
    step(run, "1", "train")
    step(run, "2", "load_dataset", state="FAILED")  # answered by the recipe, which went on
    step(run, "3", "parallel", state="RUNNING")
    step(run, "3.1.1", "train", state="FAILED")  # this one ended it
    step(run, "3.2.1", "train", state="FAILED")
    step(run, "3.2.2", "train", state="RUNNING")
    worker = rows.make_worker("recipes", queues=("recipe",))
    claim = lifecycle.claim(run.job.pk, worker)
    assert claim is not None
    lifecycle.start(run.job.pk, claim.attempt)
    lifecycle.fail(run.job.pk, claim.attempt, "job 3 failed")
    states = dict(run.steps.values_list("path", "state"))
    assert (states["3"], states["3.2.2"]) == ("CANCELLED", "CANCELLED")
    run.refresh_from_db()
    recipes.resume_recipe(actor=None, run=run)
    tries = dict(run.steps.values_list("path", "tries"))
    assert {path for path, count in tries.items() if count == 2} == {"3", "3.1.1", "3.2.2"}


def test_the_end_of_a_run_stops_the_jobs_that_were_its_own_and_no_other(run, branch):
    own, another = rows.make_job(branch), rows.make_job(branch, kind="evaluate")
    step(run, "1", "train", state="RUNNING", job=own, owns_job=True)
    step(run, "2", "evaluate", state="RUNNING", job=another, owns_job=False)
    assert lifecycle.cancel_queued(run.job) is not None
    own.refresh_from_db()
    another.refresh_from_db()
    assert (own.state, another.state) == (JobState.CANCELLED, JobState.QUEUED)


def test_the_api_runs_lists_stops_and_resumes(page, recipe):
    def send(url: str, data: Any = None) -> Any:
        return page.post(url, json.dumps(data or {}), content_type="application/json")

    refused = send("/api/v1/recipes/run/", {"recipe": "Nothing", "params": {}})
    assert refused.status_code == 422
    assert "known: FactorExperiment" in refused.json()["errors"]["recipe"][0]
    made = send("/api/v1/recipes/run/", {"recipe": "FactorExperiment", "params": {"steps": 7}, "seed": 2})
    assert made.status_code == 201
    number = made.json()["id"]
    assert page.get(made["Location"]).json()["params"]["steps"] == 7
    assert page.get("/api/v1/recipes/runs/?recipe=FactorExperiment").json()["count"] == 1
    assert send(f"/api/v1/recipes/runs/{number}/resume/").status_code == 409
    assert send(f"/api/v1/recipes/runs/{number}/stop/").json()["state"] == "CANCELLED"
    assert send(f"/api/v1/recipes/runs/{number}/resume/").json()["state"] == "QUEUED"


def test_a_run_in_a_private_experiment_is_hidden_from_others_and_can_be_stopped_by_its_maker_alone(run, user):
    other = get_user_model().objects.create_user("eve")
    assert not RecipeRun.objects.visible_to(other).exists()
    step(run, "0", "create_model", experiment=rows.make_branch(user, "open").experiment)
    assert RecipeRun.objects.visible_to(other).exists()
    client = Client()
    client.force_login(other)
    answer = client.post(f"/api/v1/recipes/runs/{run.pk}/stop/", "{}", content_type="application/json")
    assert answer.status_code == 403
    private = rows.make_branch(user, "secret", visibility="private")
    step(run, "1", "create_model", experiment=private.experiment)
    assert not RecipeRun.objects.visible_to(other).exists()
    assert client.get(f"/recipes/runs/{run.pk}/").status_code == 404
    assert RecipeRun.objects.visible_to(user).exists()


def test_a_run_a_part_of_which_is_in_a_private_experiment_is_hidden_while_it_is_at_work(run, user):
    other = get_user_model().objects.create_user("eve")
    step(run, "0", "create_model", experiment=rows.make_branch(user, "open").experiment)
    study = step(run, "1", "study", state="RUNNING", args={"name": "secret question"})
    part = RecipeRun.objects.create(recipe="Study", created_by=user, within=study)
    step(part, "0", "repeat", experiment=rows.make_branch(user, "first").experiment)
    assert run in RecipeRun.objects.visible_to(other)
    step(part, "1", "repeat", experiment=rows.make_branch(user, "secret", visibility="private").experiment)
    assert not RecipeRun.objects.visible_to(other).exists()
    assert set(RecipeRun.objects.visible_to(user)) == {run, part}


def test_the_shell_lists_runs_and_shows(recipe, run):
    def say(*words: str) -> str:
        out = io.StringIO()
        call_command(*words, stdout=out)
        return out.getvalue()

    assert "--param steps=100  of each branch" in say("recipes")
    assert "run queued" not in say("recipes", "runs")
    step(run, "1", "log", message="hello")
    assert "log: hello" in say("recipes", "show", str(run.pk))
    told = json.loads(say("run_recipe", "factor_experiment", "--param", "steps=9", "--json"))
    assert told["params"]["steps"] == 9
    with pytest.raises(SystemExit) as left:
        call_command("run_recipe", "factor_experiment", "--param", "steps=9000", stderr=io.StringIO())
    assert left.value.code == 2


def test_a_recipe_whose_source_was_removed_cannot_be_started(recipe):
    recipe.available = False
    recipe.save()
    with pytest.raises(InvalidInput, match="its source was removed"):
        recipes.submit_recipe(actor=None, recipe="FactorExperiment")


def test_a_run_that_is_done_is_not_resumed(run):
    Job.objects.filter(pk=run.job.pk).update(state=JobState.SUCCEEDED)
    with pytest.raises(WrongState, match="is done; only one that was stopped or failed"):
        recipes.resume_recipe(actor=None, run=run)
