"""Samples, histograms and comparisons over HTTP; a picture never reads the whole file, nor trusts a changed one."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rest_framework.test import APIClient

from acc.hashes import file_sha256
from accsite import blobs
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.tests.conftest import get, made

Store = Callable[..., Dataset]


def test_a_page_of_samples_and_its_picture_show_the_same(api: APIClient, store: Store) -> None:
    data = made(40)
    store("Digits", data)
    query = "sort=slant&order=desc&digit.in=1,3&slant.min=-1&offset=2&limit=4"
    page = get(api, f"digits/samples/?{query}")
    slant, digit = data.targets["slant"].astype(np.float64), data.targets["digit"]
    expected = sorted(
        (row for row in range(40) if digit[row] in {1, 3} and slant[row] >= -1), key=lambda row: -slant[row]
    )
    assert page["total"] == len(expected)
    assert page["indices"] == expected[2:6]
    assert page["values"]["digit"] == digit[expected[2:6]].tolist()
    response = api.get(f"/api/v1/datasets/digits/sprite/?{query}&columns=4")
    grid = np.asarray(Image.open(io.BytesIO(response.content)))
    np.testing.assert_array_equal(grid, np.concatenate(list(data.images[expected[2:6], 0]), axis=1))
    again = api.get(
        f"/api/v1/datasets/digits/sprite/?{query}&columns=4", headers={"If-None-Match": response["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_histograms_pairs_and_statistics(api: APIClient, store: Store) -> None:
    store("Digits", made(40))
    found = get(api, "digits/histogram/?target=slant&bins=5&digit.in=1")
    assert (sum(found["counts"]), sum(found["selected"]), found["total"]) == (40, 8, 40)
    assert get(api, "digits/histogram/?target=digit")["selected"] is None
    assert np.sum(get(api, "digits/pairs/?x=digit&y=slant")["counts"]) == 40
    assert get(api, "digits/statistics/")["images"] == 40
    assert api.get("/api/v1/datasets/digits/mean/")["Content-Type"] == "image/png"


def test_two_datasets_are_compared(api: APIClient, store: Store) -> None:
    store("One", made(40, seed=1))
    store("Two", made(30, seed=2))
    found = get(api, "compare/?a=one&b=two")
    assert [each["target"] for each in found["targets"]] == ["digit", "slant"]
    assert len(get(api, "nearest/?a=one&b=two&limit=5")["b"]) == 5
    assert list(get(api, "compare/?a=one&b=none", 422)["errors"]) == ["b"]


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ("samples/?sort=shape", "sort"),
        ("samples/?order=up", "order"),
        ("samples/?colour=red", "colour"),
        ("samples/?slant.min=x", "slant.min"),
        ("histogram/?target=shape", "target"),
        ("histogram/?target=slant&bins=0", "bins"),
        ("sprite/?slant.min=99", "__all__"),
        ("export/?format=xls", "format"),
    ],
)
def test_a_question_that_means_nothing_is_refused_by_field(
    api: APIClient, store: Store, where: str, field: str
):
    store("Digits")
    assert list(get(api, f"digits/{where}", 422)["errors"]) == [field]


@pytest.mark.parametrize("kind", ["npz", "pt", "zip", "csv"])
def test_an_export_is_a_download(api: APIClient, store: Store, kind: str) -> None:
    store("Digits")
    response: Any = api.get(f"/api/v1/datasets/digits/export/?format={kind}")
    assert response["Content-Disposition"] == f'attachment; filename="digits.{kind}"'
    data = b"".join(response.streaming_content)
    if kind == "csv":
        assert data.decode().splitlines()[0] == "file,digit,slant"
    else:
        assert data.startswith(b"PK")


def test_a_stored_file_is_shown_without_being_hashed_until_it_changes(
    api: APIClient, store: Store, own_storage: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOME = own_storage.parent / "home"
    row = store("Digits")
    hashed: list[Path] = []
    real = file_sha256

    def watched(path: Path) -> str:
        hashed.append(path)
        return real(path)

    monkeypatch.setattr(blobs, "_verified", {})  # as in a process that has just begun
    monkeypatch.setattr(blobs, "file_sha256", watched)
    get(api, "digits/samples/")
    assert hashed == []
    blobs.open_local(row.file, row.sha256)  # as a worker does before it trains
    assert len(hashed) == 1
    path = own_storage / row.file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(data))
    assert "is damaged" in get(api, "digits/samples/", 409)["detail"]
