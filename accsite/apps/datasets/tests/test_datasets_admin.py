"""The admin shows datasets and lets nobody change them: they are immutable."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from accsite.apps.datasets.models import Dataset


@pytest.mark.django_db
def test_the_list_and_a_page_with_samples_open_and_offer_no_change(store: Callable[..., Dataset]) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    row = store("Digits")
    assert b"Digits" in client.get(reverse("admin:datasets_dataset_changelist"), {"q": "dig"}).content
    page = client.get(reverse("admin:datasets_dataset_change", args=[row.pk]))
    assert b"/api/v1/datasets/digits/sprite/" in page.content
    assert b'name="_save"' not in page.content
    assert (
        client.post(reverse("admin:datasets_dataset_delete", args=[row.pk]), {"post": "yes"}).status_code
        == 403
    )
