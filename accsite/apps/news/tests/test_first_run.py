"""A newcomer is led from data to a comparison by one button at a time, until all is done or they want no more."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accsite.apps.audit.models import AuditEntry
from accsite.apps.news import first_run
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.tests.browsers import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def now(user: User) -> tuple[str, str]:
    """Return the next step, and where its button leads."""
    found = first_run.next_step(user)
    return (found.step.name, found.url) if found else ("", "")


def test_each_step_follows_from_what_was_made(ada: User) -> None:
    assert now(ada) == ("data", "/datasets/new/")
    rows.make_dataset()
    assert now(ada) == ("model", "/experiments/new/")
    branch = rows.make_branch(ada)
    assert now(ada) == ("train", "/w/digits/main/")
    job = rows.make_job(branch, created_by=ada)
    assert now(ada)[0] == "train"  # it waits
    job.attempt = 1
    job.save()
    rows.make_checkpoint(branch, job, kind="autosave")
    assert now(ada) == ("train", "/w/digits/main/"), "it runs, and its autosaves will be gone"
    node = rows.make_checkpoint(branch, job)
    assert now(ada) == ("look", f"/evaluate/{node.pk}/")
    client = signed_in(ada)
    assert client.get(f"/evaluate/{node.pk}/").status_code == 200
    assert now(ada) == ("compare", f"/checkpoints/{node.pk}/"), "one alone is to be forked first"
    assert "Fork your checkpoint" in client.get("/experiments/").text
    rows.make_checkpoint(branch, job, kind="autosave")
    fork = Branch.objects.create(
        experiment=branch.experiment, name="fork", slug="fork", head=node, forked_from=node
    )
    assert now(ada) == ("compare", "/w/digits/fork/"), "what was forked is to be trained"
    assert "Train the fork" in client.get("/experiments/").text
    other = rows.make_checkpoint(fork, job)
    assert now(ada) == ("compare", "/compare/")
    client.get("/compare/")
    client.get(f"/compare/?a={node.pk}")
    assert now(ada)[0] == "compare"  # nothing was compared yet
    assert client.get(f"/compare/?a={node.pk}&b={other.pk}").status_code == 200
    assert now(ada) == ("", "")
    assert AuditEntry.objects.count() == 0


def test_it_stands_where_one_works_and_nowhere_else(ada: User) -> None:
    client = signed_in(ada)
    for where in ("/datasets/", "/experiments/", "/evaluate/"):
        assert (
            "Make a dataset" in client.get(where).text.partition('id="next-step"')[2].partition("</aside>")[0]
        )
    for where in ("/news/", "/jobs/", "/search/?q=x", "/nowhere/"):
        assert 'aria-label="Next step"' not in client.get(where).text


def test_its_button_stands_not_on_the_page_that_it_leads_to(ada: User) -> None:
    client = signed_in(ada)
    button = 'class="btn main tiny" href="/datasets/new/"'
    assert button in client.get("/datasets/").text
    shown = client.get("/datasets/new/").text
    assert 'aria-label="Next step"' in shown
    assert button not in shown
    fresh = reverse("news:next-step")
    there = {"HX-Request": "true", "HX-Current-URL": "http://testserver/datasets/new/?generator=x"}
    assert button not in client.get(fresh, headers=there).text
    elsewhere = {**there, "HX-Current-URL": "http://testserver/experiments/"}
    assert button in client.get(fresh, headers=elsewhere).text


def test_what_others_made_is_not_what_one_has_done(ada: User) -> None:
    rows.make_dataset()
    rows.make_job(rows.make_branch(ada), created_by=ada, attempt=1)
    assert now(User.objects.create_user("bob"))[0] == "model"


def test_who_trains_in_the_experiment_of_another_goes_on_from_there(ada: User) -> None:
    rows.make_dataset()
    branch = rows.make_branch(User.objects.create_user("bob"))
    assert now(ada) == ("model", "/experiments/new/")
    node = rows.make_checkpoint(branch, rows.make_job(branch, created_by=ada))
    assert now(ada) == ("look", f"/evaluate/{node.pk}/")
    branch.experiment.visibility = "private"
    branch.experiment.save()
    assert now(ada) == ("model", "/experiments/new/"), "what one may not see any more leads nowhere"


def test_it_is_dismissed_for_good_and_that_is_no_deed(ada: User) -> None:
    client = signed_in(ada)
    assert "Make a dataset" in client.get("/news/next-step/").content.decode()
    assert client.post("/news/first/end/").status_code == 302
    assert now(ada) == ("", "")
    assert 'id="next-step" hidden' in client.get("/news/next-step/").content.decode()
    assert client.post("/news/first/nonsense/").status_code == 404
    assert client.get("/news/first/end/").status_code == 405
    assert AuditEntry.objects.count() == 0
    with CaptureQueriesContext(connection) as asked:
        first_run.next_step(User.objects.get(pk=ada.pk))
    assert len(asked) <= 3  # the user, their roles, their row


def test_who_may_only_look_is_not_told_to_make_things() -> None:
    viewer = User.objects.create_user("viewer")
    viewer.groups.add(Group.objects.get(name="viewer"))
    assert now(viewer) == ("", "")
