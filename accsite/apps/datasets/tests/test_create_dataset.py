"""A dataset is stored once, by content, whole, and before the row that names it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.db import OperationalError, connection
from django.urls import reverse

from acc.data import AccDataset
from acc.errors import InvalidInput
from accsite import blobs
from accsite.apps.datasets import selectors, services
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.tests.conftest import made
from accsite.apps.live.selectors import versions
from accsite.tests.shell import shell

pytestmark = pytest.mark.both_databases

Store = Callable[..., Dataset]


def stored(place: Path) -> list[str]:
    """Return the names of all files in storage."""
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def test_the_row_says_what_is_in_the_file(store: Store, own_storage: Path) -> None:
    data = made(20)
    row = store("Some digits", data, provenance={"generator": "Made"})
    assert (row.slug, row.n, row.channels, row.height, row.width) == ("some-digits", 20, 1, 8, 8)
    assert row.content_hash == data.content_hash
    assert stored(own_storage) == [f"datasets/{row.sha256}.safetensors"]
    digit, slant = row.targets
    assert digit["counts"] == [4, 4, 4, 4, 4]
    assert slant["mean"] == pytest.approx(float(data.targets["slant"].mean()))
    assert (slant["unit"], slant["min"] < slant["max"]) == ("rad", True)


def test_what_is_stored_is_read_back_unchanged(store: Store) -> None:
    data = made(20)
    again = AccDataset.load(selectors.local_path(store("Some digits", data)))
    assert again.content_hash == data.content_hash
    assert (again.images == data.images).all()
    assert again.target_specs == data.target_specs


def test_the_same_content_is_stored_once_under_its_first_name(store: Store, own_storage: Path) -> None:
    first = store("One name")
    assert store("Another name") == first
    assert len(stored(own_storage)) == 1


def test_different_content_of_one_name_gets_an_address_of_its_own(store: Store) -> None:
    assert store("Digits", made(20, seed=1)).slug == "digits"
    assert store("Digits", made(20, seed=2)).slug == "digits-2"


def test_a_dataset_named_like_a_page_beside_it_gets_an_address_of_its_own(store: Store) -> None:
    assert store("New", made(20, seed=1)).slug == "new-2"
    assert store("Compare", made(20, seed=2)).slug == "compare-2"


def test_open_pages_hear_of_it(store: Store) -> None:
    before = versions(["datasets"])["datasets"]
    store()
    assert versions(["datasets"])["datasets"] == before + 1


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "digits\n1", "x" * 81, None])
def test_a_name_that_will_not_do_leaves_nothing_behind(store: Store, own_storage: Path, name: Any) -> None:
    with pytest.raises(InvalidInput, match="name: "):
        store(name)
    assert not Dataset.objects.exists()
    assert [path for path in stored(own_storage) if path.startswith("datasets/")] == []


def test_a_file_that_is_no_dataset_is_refused(db: None, tmp_path: Path) -> None:
    draft = tmp_path / "draft.safetensors"
    draft.write_bytes(b"not a dataset at all")
    with pytest.raises(InvalidInput, match="'draft.safetensors' is not a whole safetensors file"):
        services.create_dataset(actor=None, name="Digits", dataset_path=draft, provenance={})


def test_a_database_that_failed_can_be_asked_again_with_the_same_file(
    store: Store, own_storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = blobs.scratch() / "draft.safetensors"
    made().save(draft)

    def create() -> Dataset:
        return services.create_dataset(actor=None, name="Digits", dataset_path=draft, provenance={})

    def locked(*args: Any, **fields: Any) -> Dataset:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(Dataset.objects, "create", locked)
        with pytest.raises(OperationalError):
            create()
    assert not Dataset.objects.exists()
    row = create()
    assert selectors.local_path(row).exists()
    assert stored(own_storage) == [f"datasets/{row.sha256}.safetensors"]


@pytest.mark.django_db(transaction=True)
def test_datasets_of_one_name_made_at_once_get_addresses_of_their_own(
    own_storage: Path, tmp_path: Path
) -> None:
    barrier = threading.Barrier(4)
    found: list[str] = []

    def create(seed: int) -> None:
        draft = tmp_path / f"{seed}.safetensors"
        made(seed=seed).save(draft)
        barrier.wait(20)
        try:
            row = services.create_dataset(actor=None, name="Digits", dataset_path=draft, provenance={})
            found.append(row.slug)
        finally:
            connection.close()

    threads = [threading.Thread(target=create, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == ["digits", "digits-2", "digits-3", "digits-4"]


def test_a_dataset_says_which_split_came_with_it(store: Any, api: Any, own_storage: Any) -> None:
    data = made(20)
    data = AccDataset(
        images=data.images,
        targets=data.targets,
        target_specs=data.target_specs,
        split=np.repeat([0, 1, 2], [12, 0, 8]).astype(np.uint8),
    )
    row = store("With a split", data)
    assert row.split == {"training": 12, "test": 8}
    assert store("Without", made(20, seed=3)).split == {}
    place = reverse("datasets:detail", args=[row.slug])
    for _ in range(2):
        told = [
            api.get(reverse("api:dataset-detail", args=[slug])).json()["split"]
            for slug in (row.slug, "without")
        ]
        assert told == [{"training": 12, "test": 8}, {}]
        assert "12 training, 8 test, as it came with the data" in api.get(place).content.decode()
        assert api.get(reverse("datasets:list")).content.decode().count("12 training, 8 test") == 1
        Dataset.objects.update(split=None)  # of rows that were made before they told it, the file does
    assert "split          12 training, 8 test" in shell("datasets", "show", row.slug)[1]
    default_storage.delete(row.file)
    assert selectors.split_of(Dataset(file="gone", sha256="0" * 64, content_hash="1")) is None
