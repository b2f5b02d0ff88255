"""Topics are known by what apps registered, and nothing else can be asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from accsite.apps.live import selectors, topics


@pytest.fixture
def prefix():
    yield "trial"
    topics.unregister("trial")


def test_a_prefix_is_registered_once(prefix):
    topics.register(prefix)
    topics.register(prefix)
    with pytest.raises(ValueError, match="'trial' is registered already"):
        topics.register(prefix, may_see=lambda user, key: True)


@pytest.mark.parametrize(
    "name", ["", "trial:", "trial:a b", "Trial", "trial:" + "x" * 65, "other", "trial:1:2"]
)
def test_a_name_of_another_form_is_refused(prefix, name):
    topics.register(prefix)
    with pytest.raises(topics.UnknownTopic, match="known are: .*trial"):
        topics.find(name)


def test_a_topic_that_everyone_may_see_has_no_key(prefix):
    topics.register(prefix)
    kind, key = topics.find("trial")
    assert kind.allows(SimpleNamespace(), key)
    kind, key = topics.find("trial:7")
    assert not kind.allows(SimpleNamespace(), key)


@pytest.mark.django_db
def test_a_check_that_fails_is_a_no(prefix, django_user_model):
    user = django_user_model.objects.create_user("ann")
    topics.register(prefix, may_see=lambda user, key: int(key) > 0)
    assert selectors.allowed_users("trial:1", [user.pk]) == {user.pk}
    assert selectors.allowed_users("trial:x", [user.pk]) == set()
    assert selectors.allowed_users("unknown:1", [user.pk]) == set()
