"""Datasets over HTTP: rows, and the very pixels of their samples."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from PIL import Image
from rest_framework.test import APIClient

from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.tests.conftest import get, made

Store = Callable[..., Dataset]


def picture(api: APIClient, where: str) -> np.ndarray[Any, Any]:
    response = api.get(f"/api/v1/datasets/{where}")
    assert (response.status_code, response["Content-Type"]) == (200, "image/png")
    assert "private" in response["Cache-Control"]
    return np.asarray(Image.open(io.BytesIO(response.content)))


def test_the_list_is_filtered_by_name(api: APIClient, store: Store) -> None:
    store("Digits", made(seed=1))
    store("Shapes", made(seed=2))
    assert [row["slug"] for row in get(api, "")["results"]] == ["digits", "shapes"]
    assert [row["slug"] for row in get(api, "?q=shap")["results"]] == ["shapes"]


def test_one_dataset_tells_size_targets_and_where_it_came_from(api: APIClient, store: Store) -> None:
    ann = get_user_model().objects.get(username="ann")
    row = store("Digits", provenance={"generator": "Made", "seed": 7}, actor=ann)
    found = get(api, "digits/")
    assert (found["n"], found["height"], found["dtype"]) == (20, 8, "uint8")
    assert found["provenance"] == {"generator": "Made", "seed": 7}
    assert (found["content_hash"], found["created_by"]) == (row.content_hash, "ann")
    assert [target["name"] for target in found["targets"]] == ["digit", "slant"]


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_are_the_stored_pixels_in_rows(api: APIClient, store: Store, channels: int) -> None:
    data = made(20, channels=channels)
    store("Digits", data)
    grid = picture(api, "digits/sprite/?offset=4&limit=6&columns=4").reshape(16, 32, channels)
    for number in range(6):
        row, column = divmod(number, 4)
        cell = grid[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
        np.testing.assert_array_equal(cell, np.moveaxis(data.images[4 + number], 0, -1))


def test_samples_end_where_the_dataset_ends(api: APIClient, store: Store) -> None:
    store("Digits")
    assert picture(api, "digits/sprite/?offset=18&limit=64").shape == (8, 16)


def test_target_values_come_in_columns(api: APIClient, store: Store) -> None:
    data = made(20)
    store("Digits", data)
    found = get(api, "digits/targets/?offset=3&n=4")
    assert (found["offset"], found["n"], found["total"]) == (3, 4, 20)
    assert found["columns"]["digit"] == [3, 4, 0, 1]
    np.testing.assert_allclose(found["columns"]["slant"], data.targets["slant"][3:7])


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("offset=20", "offset", "'20' is above the most allowed, 19"),
        ("offset=-1", "offset", "'-1' is below the least allowed, 0"),
        ("limit=0", "limit", "'0' is below the least allowed, 1"),
        ("limit=many", "limit", "'many' is not a whole number"),
        ("columns=0", "columns", "'0' is below the least allowed, 1"),
    ],
)
def test_a_range_that_is_none_is_refused_by_field(
    api: APIClient, store: Store, query: str, field: str, words: str
) -> None:
    store("Digits")
    assert get(api, f"digits/sprite/?{query}", 422)["errors"] == {field: [words]}


def test_a_damaged_file_is_told_with_both_hashes(api: APIClient, store: Store, own_storage: Any) -> None:
    row = store("Digits")
    path = own_storage / row.file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(data))
    problem = get(api, "digits/samples/", 409)
    assert row.sha256 in problem["detail"]
    assert "is damaged" in problem["detail"]


def test_a_stranger_sees_nothing_and_changes_nothing(api: APIClient, store: Store) -> None:
    store("Digits")
    stranger = APIClient()
    for where in ("samples/", "sprite/", "export/?format=npz"):
        assert stranger.get(f"/api/v1/datasets/digits/{where}").status_code in {401, 403}
    assert stranger.delete("/api/v1/datasets/digits/").status_code in {401, 403}
    assert Dataset.objects.filter(slug="digits").exists()
