"""Who may not see a study learns of it nowhere: neither from the studies beside it, nor from what it made."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from accsite.apps.jobs.models import Job
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import study_state
from accsite.apps.studies.services import life, studies, sweeps
from accsite.apps.studies.tests.test_sweeps import by_number, do, swept
from accsite.apps.studies.tests.test_sweeps import write_down as write_down_sweep
from accsite.apps.training.models import Branch

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
