"""Small real datasets in a storage of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from acc.data import AccDataset
from acc.specs import TargetSpec
from accsite import blobs
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import create_dataset


@pytest.fixture(autouse=True)
def own_storage(tmp_path: Path, settings: Any) -> Path:
    """Return the folder that blobs lie in for one test."""
    place = tmp_path / "blobs"
    options = {"location": str(place), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    return place


def made(n: int = 20, *, seed: int = 0, side: int = 8, channels: int = 1) -> AccDataset:
    """Return random images with a class target and a real one."""
    rng = np.random.default_rng(seed)
    return AccDataset(
        images=rng.integers(0, 256, (n, channels, side, side), dtype=np.uint8),
        targets={"digit": np.arange(n) % 5, "slant": rng.normal(size=n)},
        target_specs=(
            TargetSpec(name="digit", kind="class", classes=5),
            TargetSpec(name="slant", kind="real", unit="rad"),
        ),
    )


@pytest.fixture
def api(db: None) -> APIClient:
    """Return a client of the API for the signed-in person ann."""
    client = APIClient()
    client.force_login(get_user_model().objects.create_user("ann"))
    return client


def get(api: APIClient, where: str, status: int = 200) -> Any:
    """Return the JSON below ``/api/v1/datasets/``, whose status must be as said."""
    response = api.get(f"/api/v1/datasets/{where}")
    assert response.status_code == status, response.content
    return response.json()


@pytest.fixture
def store(db: None) -> Callable[..., Dataset]:
    """Return a way to take a dataset in: ``store("Some name", made(20))``."""

    def take(name: str = "Some digits", data: AccDataset | None = None, **fields: Any) -> Dataset:
        draft = blobs.scratch() / "draft.safetensors"
        (data or made()).save(draft)
        return create_dataset(
            actor=fields.get("actor"), name=name, dataset_path=draft, provenance=fields.get("provenance", {})
        )

    return take
