"""Who may not see a study learns of it nowhere: neither from the studies beside it, nor from what it made."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from rest_framework.test import APIClient

from acc.errors import InvalidInput
from accsite.apps.access.permissions import Role
from accsite.apps.jobs.models import Job
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import study_state
from accsite.apps.studies.services import life, running, studies, sweeps
from accsite.apps.studies.tests.made import write_down
from accsite.apps.studies.tests.test_sweeps import by_number, do, swept
from accsite.apps.studies.tests.test_sweeps import write_down as write_down_sweep
from accsite.apps.training.models import Branch, Experiment, ExperimentShare, Visibility
from accsite.apps.training.tests import rows

__all__ = ["swept"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def confirmed(swept: Branch, user: Any) -> tuple[Study, Study]:
    """A sweep that is done, and the study that confirms its winner; everybody sees both."""
    study = do(studies.start_study(actor=user, study=write_down_sweep(swept, user)), by_number)
    Job.objects.update(state="SUCCEEDED")
    return study, sweeps.confirm_winner(actor=user, study=Study.objects.get(pk=study.pk), seeds=2)


def told_of_a_sweep(client: Any, user: Any, study: Study) -> str:
    """Return all that a sweep's page, API and command tell somebody."""
    client.force_login(user)
    api = APIClient()
    api.force_authenticate(user)
    out = io.StringIO()
    call_command("study", "show", study.slug, "--json", "--user", user.username, stdout=out)
    page, answer = client.get(f"/studies/{study.slug}/"), api.get(f"/api/v1/studies/{study.slug}/")
    assert (page.status_code, answer.status_code) == (200, 200)
    return page.text + json.dumps(answer.json()) + out.getvalue()


def test_a_sweep_names_a_private_confirmation_to_those_alone_who_see_it(
    confirmed, user, client, django_user_model
):
    study, made = confirmed
    bob = django_user_model.objects.create_user("bob")
    assert made.slug in told_of_a_sweep(client, bob, study)
    life.set_visibility(actor=user, study=made, visibility="private")
    assert made.slug not in told_of_a_sweep(client, bob, study)
    assert made.slug in told_of_a_sweep(client, user, study)
    sweep = study_state(bob, study)["sweep"]
    assert sweep is not None
    assert sweep["confirmations"] == []


def test_a_confirmation_names_a_private_sweep_to_those_alone_who_see_it(
    confirmed, user, client, django_user_model
):
    study, made = confirmed
    life.rename_study(actor=user, study=study, name="secret question")
    life.set_visibility(actor=user, study=study, visibility="private")
    client.force_login(django_user_model.objects.create_user("bob"))
    shown = client.get(f"/studies/{made.slug}/").text
    assert "a sweep that is private" in " ".join(shown.split())
    assert "secret question" not in shown
    assert f"/studies/{study.slug}/" not in shown
    client.force_login(user)
    assert "secret question" in client.get(f"/studies/{made.slug}/").text


@pytest.fixture
def hidden(arms: list[Branch], user: Any) -> Branch:
    """A branch of a private experiment of somebody else, which the user may look at."""
    cat = User.objects.create_user("cat")
    made = Experiment.objects.create(
        name="hidden", slug="hidden", model_spec=rows.MODEL, owner=cat, visibility=Visibility.PRIVATE
    )
    ExperimentShare.objects.create(experiment=made, user=user)
    branch = Branch.objects.create(experiment=made, name="secret", slug="secret")
    rows.make_task(branch, arms[0].tasks.get().dataset)
    return branch


def test_no_arm_that_is_private_is_shown_to_everyone_whichever_it_is(arms, user, hidden):
    study = write_down(arms, user)
    life.set_visibility(actor=user, study=study, visibility="private")
    studies.add_arm(actor=user, study=study, branch=hidden)
    for each in (study, life.copy_study(actor=user, study=study)):
        with pytest.raises(InvalidInput, match="it repeats a branch of 'hidden', which is private"):
            life.set_visibility(actor=user, study=each, visibility="site")
    ExperimentShare.objects.all().delete()
    with pytest.raises(InvalidInput, match="of an experiment of somebody else, which is private"):
        life.set_visibility(actor=user, study=study, visibility="site")
    Experiment.objects.filter(pk=hidden.experiment_id).update(visibility=Visibility.SITE)
    assert life.set_visibility(actor=user, study=study, visibility="site").visibility == "site"


def test_an_experiment_that_somebody_else_owns_by_now_is_theirs_to_show_and_remove(arms, user):
    user.groups.set([Group.objects.get_or_create(name=Role.RESEARCHER)[0]])
    study = write_down(arms, user)
    made = running.make_branch(actor=user, study_id=study.pk, arm="main", seed=0).experiment
    mine = running.make_branch(actor=user, study_id=study.pk, arm="main", seed=1).experiment
    Experiment.objects.filter(pk=made.pk).update(owner=User.objects.create_user("cat"))
    life.set_visibility(actor=user, study=study, visibility="private")
    made.refresh_from_db()
    mine.refresh_from_db()
    assert (made.visibility, mine.visibility) == ("site", "private")
    plan = life.plan_removal(user, study)
    assert plan.goes == [mine]
    assert plan.stays == [(made, "somebody else owns it")]
