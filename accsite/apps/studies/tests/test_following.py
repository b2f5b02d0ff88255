"""In a shell a study is run by the name of its recipe, and followed: arms, each seed as it ends, the verdicts."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.registry.models import PluginKind
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import studies
from accsite.apps.studies.tests.made import end, end_all, write_down
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def arms(branch: Branch, user: Any) -> list[Branch]:
    """Two branches, of which the second has a task more."""
    data = rows.make_dataset()
    other = Branch.objects.create(experiment=branch.experiment, name="heavier", slug="heavier")
    rows.make_task(branch, data)
    rows.make_task(other, data)
    rows.make_task(other, data, key="second", weight=2.0)
    return [branch, other]


def told(*words: str) -> str:
    out = io.StringIO()
    call_command("study", *words, stdout=out)
    return out.getvalue()


def done(arms: list[Branch], user: Any) -> Study:
    """Return a study of six seeds that has ended, one of which failed."""
    study = studies.start_study(actor=user, study=write_down(arms, user))
    end_all(study, 6)
    end(study, "heavier", 5, None)
    assert study.run is not None
    assert study.run.job is not None
    Job.objects.filter(pk=study.run.job.pk).update(state=JobState.SUCCEEDED)
    return study


def test_it_shows_the_arms_each_seed_the_verdict_and_a_failure(arms, user):
    study = done(arms, user)
    text = told("follow", study.slug)
    assert "arm heavier: tasks.second added\n" in text
    assert "claim main > heavier on digit/accuracy" in text
    assert text.count("\N{BLACK CIRCLE}") == 11
    assert "\N{MULTIPLICATION SIGN} heavier, seed 5  train(): job 7 failed" in text
    assert "(1 of 12)" in text
    assert "(12 of 12)" in text
    assert "1 of 6 pairs of seeds failed" in text


def test_it_is_told_as_json_a_line_for_each_seed_and_one_for_the_study(arms, user):
    study = done(arms, user)
    found = [json.loads(line) for line in told("follow", study.slug, "--json").splitlines()]
    assert len(found) == 12 + 1
    assert {(row["arm"], row["seed"]) for row in found[:-1]} == {
        (arm, seed) for arm in ("main", "heavier") for seed in range(6)
    }
    assert found[-1]["claims"][0]["claim"] == "main > heavier on digit/accuracy"


def test_one_that_is_not_started_is_refused_with_what_to_do(arms, user, capsys):
    study = write_down(arms, user)
    with pytest.raises(SystemExit):
        call_command("study", "follow", study.slug)
    assert f"is not started; `manage.py study start {study.slug}`" in capsys.readouterr().err


def test_a_recipe_is_run_by_its_name_with_so_many_seeds():
    rows.make_plugin(PluginKind.RECIPE, "AsksMuch", params=[rows.named("seeds", 10, min=1)])
    assert "queued as job" in told("run", "asks_much", "--seeds", "5")
    run = RecipeRun.objects.get()
    assert (run.recipe, run.params) == ("AsksMuch", {"seeds": 5})


def test_a_recipe_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit):
        call_command("study", "run", "nothing")
    assert "'nothing' cannot be used" in capsys.readouterr().err
