"""An installation with something in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.core.files.storage import default_storage

from accsite import blobs
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows


@pytest.fixture
def stored(settings: LazySettings, tmp_path: Path) -> Path:
    """The folder of stored files, empty at first."""
    folder = tmp_path / "blobs"
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(folder), "base_url": None},
        },
    }
    return folder


@pytest.fixture
def branch(db: Any, stored: Path) -> Branch:
    """A branch with a task, a job with loss points, and a checkpoint whose file is stored."""
    user = get_user_model().objects.create_user("ada", password="a long enough one")
    rows.make_plugins()
    branch = rows.make_branch(user)
    rows.make_task(branch, rows.make_dataset())
    name, _ = blobs.write_bytes(b"weights" * 1000, "checkpoints", ".safetensors")
    assert default_storage.exists(name)
    job = rows.make_job(branch)
    checkpoint = rows.make_checkpoint(branch, job=job)
    branch.head = checkpoint
    branch.save()
    return branch
