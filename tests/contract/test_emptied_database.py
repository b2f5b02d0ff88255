"""A test that commits leaves the database to the next one as it was when it had just been migrated."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType

from accsite.apps.jobs.models import Job
from accsite.apps.training.tests import rows
from tests.emptied import Emptied

pytestmark = [pytest.mark.both_databases, pytest.mark.django_db(transaction=True)]
KEPT = (Group, Permission, ContentType)


def test_what_was_made_is_gone_and_what_was_changed_or_removed_is_as_it_was():
    emptied = Emptied()
    before = [list(model.objects.order_by("pk").values()) for model in KEPT]
    assert all(before)
    user = User.objects.create_user("ada")
    user.groups.add(Group.objects.create(name="another"), Group.objects.earliest("pk"))
    rows.make_plugins()
    rows.make_job(rows.make_branch(user))
    Group.objects.filter(pk=before[0][-1]["id"]).delete()
    Permission.objects.update(name="changed")

    emptied.empty()

    assert [list(model.objects.order_by("pk").values()) for model in KEPT] == before
    assert not User.objects.exists()
    assert not Job.objects.exists()
    assert Emptied().kept == emptied.kept
    Group.objects.create(name="one more")  # its number is free
