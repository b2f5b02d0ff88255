"""The admin shows plugins and lets nobody change them: the disk alone provides them."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from accsite.apps.registry.models import Plugin, PluginFile, PluginSource
from accsite.apps.registry.tests.reports import bad, good, look


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    return client


@pytest.mark.parametrize("model", [Plugin, PluginFile, PluginSource])
def test_every_list_and_page_opens_and_offers_no_change(admin: Client, model: type) -> None:
    look(good("tasks/a.py", "One"), bad("tasks/b.py"))
    label = f"admin:registry_{model.__name__.lower()}"
    assert admin.get(reverse(f"{label}_changelist"), {"q": "a"}).status_code == 200
    row = model.objects.first()  # type: ignore[attr-defined]
    page = admin.get(reverse(f"{label}_change", args=[row.pk]))
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert admin.get(reverse(f"{label}_add")).status_code == 403
    assert admin.post(reverse(f"{label}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
