"""One filled site for all questions of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import override_settings

from tests.truth.site import Filled, fill


@pytest.fixture(scope="module")
def site(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[Filled]:
    """Return the rows; nothing of it stays in the database."""
    place: Path = tmp_path_factory.mktemp("blobs")
    options = {"location": str(place), "base_url": None}
    storages = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    with override_settings(STORAGES=storages), django_db_blocker.unblock(), transaction.atomic():
        yield fill()
        transaction.set_rollback(True)
