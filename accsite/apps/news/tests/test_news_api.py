"""News by REST: what happened and what waits, how much is unread, and up to where it was read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from accsite.apps.jobs.states import JobState
from accsite.apps.news.tests.test_news import ended
from accsite.apps.training.models import Branch, Visibility
from accsite.apps.training.tests import rows

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
NEWS, READ = "/api/v1/news/", "/api/v1/news/read/"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", date_joined=timezone.now() - timedelta(days=9))


@pytest.fixture
def branch(ada: User) -> Branch:
    return rows.make_branch(ada)


@pytest.fixture
def api(ada: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(ada)
    return client


def told(api: APIClient, url: str = NEWS) -> dict[str, Any]:
    answer = api.get(url)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_what_happened_is_listed_newest_first_with_what_is_unread_and_what_waits(
    api: APIClient, branch: Branch
) -> None:
    first, second = ended(branch), ended(branch, JobState.FAILED, "it broke")
    waits = rows.make_job(branch, state=JobState.QUEUED)
    found = told(api)
    assert [(each["state"], each["unread"]) for each in found["news"]] == [
        ("FAILED", True),
        ("SUCCEEDED", True),
    ]
    assert found["news"][0]["sentence"] == "it broke"
    assert found["news"][0]["log"] == f"/jobs/{second.pk}/?tab=log"
    assert found["news"][1]["url"] == f"/jobs/{first.pk}/"
    assert {name: found[name] for name in ("unread", "failed", "running", "waiting")} == {
        "unread": 2,
        "failed": 1,
        "running": 0,
        "waiting": 1,
    }
    assert [each["job"] for each in found["waiting_jobs"]] == [waits.pk]
    assert len(told(api, f"{NEWS}?limit=1")["news"]) == 1


def test_what_was_listed_is_read_and_what_came_since_is_not(api: APIClient, branch: Branch) -> None:
    ended(branch)
    found = told(api)
    ended(branch)
    place = {"event": found["event"], "read_at": found["read_at"]}
    assert api.post(READ, place, format="json").json()["unread"] == 1
    assert [each["unread"] for each in told(api)["news"]] == [True, False]
    nothing = {"event": None, "read_at": None}  # is what is left out
    assert api.post(READ, nothing, format="json").json()["unread"] == 0
    assert api.post(READ, place, format="json").json()["unread"] == 0, "never back"


def test_nobody_is_told_of_what_they_may_not_see(api: APIClient, branch: Branch) -> None:
    ended(branch)
    theirs = rows.make_branch(User.objects.create_user("bob"), "theirs")
    ended(theirs)
    assert [len(told(api, url)["news"]) for url in (NEWS, f"{NEWS}?of=all")] == [1, 2]
    theirs.experiment.visibility = Visibility.PRIVATE
    theirs.experiment.save()
    assert len(told(api, f"{NEWS}?of=all")["news"]) == 1
    assert APIClient().get(NEWS).status_code == 401


@pytest.mark.parametrize(
    ("url", "field"),
    [(f"{NEWS}?of=mine", "of"), (f"{NEWS}?limit=0", "limit"), (f"{NEWS}?page=2", "page")],
)
def test_what_is_asked_wrongly_is_refused_by_name(api: APIClient, url: str, field: str) -> None:
    answer = api.get(url)
    assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"event": "x"}, "event"),
        ({"event": -1}, "event"),
        ({"event": True}, "event"),
        ({"read_at": "yesterday"}, "read_at"),
        ({"read_at": "2026-11-30T12:00:00"}, "read_at"),
        ({"read_at": "2026-13-40T12:00:00Z"}, "read_at"),
        ({"upto": 3}, "upto"),
    ],
)
def test_a_place_that_is_none_is_refused_by_name(api: APIClient, body: dict[str, Any], field: str) -> None:
    answer = api.post(READ, body, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])


def test_a_place_beyond_the_newest_is_the_newest(api: APIClient, branch: Branch) -> None:
    ended(branch)
    assert api.post(READ, {"event": 10**15}, format="json").json()["unread"] == 0
    ended(branch)
    assert told(api)["unread"] == 1
