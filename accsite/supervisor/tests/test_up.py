"""What ``manage.py up`` says of who can sign in."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from accsite.supervisor.management.commands.up import nobody_yet


@pytest.mark.django_db
def test_a_site_without_an_active_user_is_told_apart() -> None:
    assert nobody_yet()
    user = get_user_model().objects.create_user("ada", is_active=False)
    assert nobody_yet()
    user.is_active = True
    user.save()
    assert not nobody_yet()
