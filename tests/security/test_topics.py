"""Each role against each topic that pages may watch, and what a signal says."""

from __future__ import annotations

import pytest

from accsite.apps.jobs.services.unit import announce, unit_of_work
from accsite.apps.live import sender, topics
from accsite.apps.live.selectors import allowed_users
from tests.security.test_authorisation_matrix import SEES, SIGNED_IN

pytestmark = pytest.mark.django_db

TOPICS = {
    "jobs": SIGNED_IN,
    "workers": SIGNED_IN,
    "experiments": SIGNED_IN,
    "registry": SIGNED_IN,
    "datasets": SIGNED_IN,
    "recipes": SIGNED_IN,
    "studies": SIGNED_IN,
    "job": SEES,
    "log": SEES,
    "tasks": SEES,
    "checkpoints": SEES,
    "evaluations": SEES,
    "recipe": SEES,
    "study": SEES,
    "notes": SEES,
    "news": {"owner"},  # each user's own
}
KEYS = {
    "job": "job",
    "log": "job",
    "tasks": "branch",
    "evaluations": "branch",
    "checkpoints": "experiment",
    "recipe": "recipe",
    "study": "study",
    "notes": "experiment",
    "news": "owner",
}


def registered() -> set[str]:
    """Return the prefixes that apps have registered."""
    return set(topics._kinds)


def test_every_topic_says_who_may_watch_it():
    assert registered() - set(TOPICS) == set(), "say in TOPICS who may watch these"


@pytest.mark.parametrize("prefix", sorted(TOPICS))
def test_a_topic_is_open_to_those_it_is_meant_for_and_nobody_else(prefix, world):
    if prefix not in registered():
        topics.register(prefix)
    key = f":{world.things[KEYS[prefix]].pk}" if prefix in KEYS else ""
    ids = {user.pk: name for name, user in world.users.items() if user is not None}
    allowed = allowed_users(prefix + key, list(ids))
    assert {ids[pk] for pk in allowed} == TOPICS[prefix]
    if key:
        assert allowed_users(f"{prefix}:999999", list(ids)) <= {
            user.pk for name, user in world.users.items() if name == "nobody" and user
        }


def test_the_signal_that_some_job_has_changed_says_nothing_of_which(
    world, monkeypatch, django_capture_on_commit_callbacks
):
    heard = []
    monkeypatch.setattr(sender, "signal", lambda topic, version, data: heard.append((topic, data)))
    with django_capture_on_commit_callbacks(execute=True), unit_of_work():
        announce(world.things["job"])
    assert dict(heard) == {"jobs": None, f"job:{world.things['job'].pk}": None}


def test_who_is_in_no_group_has_the_default_role(world, settings, django_user_model):
    from accsite.apps.access.permissions import may_write

    assert may_write(django_user_model.objects.create_user("new"))
    settings.ACC_DEFAULT_ROLE = "viewer"
    assert not may_write(django_user_model.objects.create_user("newer"))
