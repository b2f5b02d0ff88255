"""Datasets are renamed, removed, restored and purged; what is in use stays, and says by whom."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from acc.data import AccDataset
from acc.errors import InvalidInput
from accsite.apps.datasets import selectors, services, uses
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.tests.conftest import made
from accsite.errors import WrongState

Store = Callable[..., Dataset]


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of those who use every dataset."""
    names: list[str] = []
    monkeypatch.setattr(uses, "_finders", [lambda _dataset, limit: names[:limit]])
    return names


def late(row: Dataset) -> None:
    """Have the time in which a removal can be undone pass."""
    Dataset.every.filter(pk=row.pk).update(removed_at=timezone.now() - timedelta(days=8))


def run(*arguments: str) -> tuple[str, str, int]:
    out, err, status = io.StringIO(), io.StringIO(), 0
    try:
        call_command("datasets", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        status = int(end.code or 0)
    return out.getvalue(), err.getvalue(), status


def test_a_renamed_dataset_keeps_its_address(store: Store) -> None:
    row = services.rename(actor=None, dataset=store("Digits"), name="Better digits")
    assert (selectors.get("digits").name, row.slug) == ("Better digits", "digits")
    store("Others", made(seed=1))
    with pytest.raises(InvalidInput, match="name: 'OTHERS' is already the name of a dataset"):
        services.rename(actor=None, dataset=row, name="OTHERS")
    assert services.free_name("others") == "others 2"
    assert services.rename(actor=None, dataset=row, name="BETTER digits").name == "BETTER digits"
    with pytest.raises(InvalidInput, match="name: 'Others' is already the name of a dataset"):
        services.rename(actor=None, dataset=row, name="Others")


def test_a_removed_dataset_is_gone_and_comes_back(store: Store, own_storage: Path) -> None:
    row = store("Digits")
    services.remove(actor=None, dataset=row)
    assert not Dataset.objects.exists()
    with pytest.raises(InvalidInput, match="'digits' is not a dataset of this site"):
        selectors.get("digits")
    assert services.purge() == []
    services.restore(actor=None, dataset=selectors.get("digits", removed=True))
    assert AccDataset.load(selectors.local_path(selectors.get("digits"))).content_hash == row.content_hash


def test_after_its_time_a_removed_dataset_is_purged_with_its_file(store: Store, own_storage: Path) -> None:
    row, other = store("Digits"), store("Others", made(seed=1))
    services.remove(actor=None, dataset=row)
    late(row)
    assert services.purge() == ["digits"]
    assert not (own_storage / row.file).exists()
    assert (own_storage / other.file).exists()
    assert [each.slug for each in Dataset.every.all()] == ["others"]


def test_a_file_that_another_row_names_outlives_the_purge(store: Store, own_storage: Path) -> None:
    row = store("Digits")
    services.remove(actor=None, dataset=row)
    late(row)
    Dataset.every.create(
        **{
            field.name: getattr(row, field.name)
            for field in Dataset._meta.fields
            if field.name not in {"id", "slug"}
        }
        | {"slug": "twin", "removed_at": None}
    )
    assert services.purge() == ["digits"]
    assert (own_storage / row.file).exists()


def test_the_same_content_taken_in_again_restores_what_was_removed(store: Store) -> None:
    row = store("Digits")
    services.remove(actor=None, dataset=row)
    assert store("Digits again") == row
    assert selectors.get("digits").removed_at is None


def test_what_is_in_use_is_protected_and_says_by_whom(store: Store, used: list[str]) -> None:
    row = store("Digits")
    used += [f"task '{number}' of digits/main" for number in range(7)]
    with pytest.raises(
        WrongState, match="'Digits' is used by task '0' .*, task '4' of digits/main and others"
    ):
        services.remove(actor=None, dataset=row)
    used[:] = ["task 'digit' of digits/main"]
    api = APIClient()
    api.force_login(get_user_model().objects.create_user("ann"))
    problem = api.delete("/api/v1/datasets/digits/")
    assert problem.status_code == 409
    assert "used by task 'digit' of digits/main" in problem.json()["detail"]
    out, err, status = run("delete", "digits")
    assert (out, status) == ("", 2)
    assert "used by task 'digit'" in err
    used.clear()
    services.remove(actor=None, dataset=row)
    late(row)
    used.append("task 'digit' of digits/main")  # attached meanwhile, by one who had the old list
    assert services.purge() == []


def test_the_api_renames_removes_and_restores(store: Store) -> None:
    store("Digits")
    api = APIClient()
    api.force_login(get_user_model().objects.create_user("ann"))
    where = "/api/v1/datasets/digits/"
    assert api.patch(where, {"name": "Mine"}, format="json").json()["name"] == "Mine"
    assert api.patch(where, {"n": 3}, format="json").status_code == 422
    assert api.delete(where).status_code == 204
    assert api.get(where).status_code == 404
    assert [row["slug"] for row in api.get("/api/v1/datasets/?removed=1").json()["results"]] == ["digits"]
    assert api.post(f"{where}restore/").json()["removed_at"] is None
    assert api.post(f"{where}restore/").status_code == 409


def test_the_shell_lists_shows_changes_and_exports(store: Store, tmp_path: Path) -> None:
    data = made()
    store("Digits", data, provenance={"generator": "Made", "seed": 7})
    assert run("list")[0].splitlines()[1].split()[:2] == ["digits", "20"]
    assert "generator" in run("show", "digits")[0]
    assert run("rename", "digits", "Mine")[2] == 0
    assert run("delete", "digits") == ("digits\n", "", 0)
    assert run("list")[0] == "no datasets\n"
    assert "\ndigits\t20\t" in run("list", "--removed")[0]
    assert run("restore", "digits")[2] == 0
    run("export", "digits", str(tmp_path / "out.npz"))
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["images"], data.images)
    _, err, status = run("export", "digits", str(tmp_path / "out.xls"))
    assert (status, "'xls' is not a format" in err) == (2, True)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_admin_removes_and_restores(store: Store, used: list[str]) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    row = store("Digits")

    def act(action: str) -> str:
        chosen = {"action": action, "_selected_action": [row.pk]}
        page = client.post(reverse("admin:datasets_dataset_changelist"), chosen, follow=True)
        return page.content.decode()

    used.append("task 'digit' of digits/main")
    assert "used by task" in act("remove")
    used.clear()
    act("remove")
    assert not Dataset.objects.exists()
    act("restore")
    assert Dataset.objects.exists()


def test_with_fewer_than_two_datasets_their_comparison_leads_to_making_one(
    store: Store, admin_client: Client
) -> None:
    for known in range(3):
        page = admin_client.get("/datasets/compare/").content.decode()
        assert ("Fewer than two datasets so far" in page) == ("Make a dataset</a>" in page) == (known < 2)
        assert ("Choose two datasets" in page) == (known == 2)
        store(f"set-{known}", made(seed=known))


def test_a_page_of_samples_says_what_stands_below_each(store: Store, admin_client: Client) -> None:
    row = store("first")
    assert "below each: digit" in admin_client.get(f"/datasets/{row.slug}/").content.decode()
    assert "below each: slant" in admin_client.get(f"/datasets/{row.slug}/?sort=slant").content.decode()
