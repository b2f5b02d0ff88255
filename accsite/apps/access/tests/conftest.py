"""People who sign in."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

PASSWORD = "correct horse battery staple"


@pytest.fixture
def ann(db: None) -> User:
    """Return a user with a password."""
    return User.objects.create_user("ann", password=PASSWORD)
