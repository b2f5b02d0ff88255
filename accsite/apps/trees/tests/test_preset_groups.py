"""A preset divides the latent by the targets of the images that are chosen, not by those of another dataset."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from accsite.apps.datasets.models import Dataset
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.tests import rows
from accsite.apps.trees.forms.presets import groups_of

NAMES = re.compile(r'name="group-name"[^>]*value="([^"]*)"')


def target(name: str, kind: str = "real") -> dict[str, Any]:
    return {"name": name, "kind": kind}


SHAPES = [target("shape", "class"), target("x"), target("y"), target("scale"), target("rotation")]


def test_a_class_gets_more_room_than_a_real_target_and_a_part_stays_free() -> None:
    assert groups_of(SHAPES, 16) == [
        ("shape", 0, 6),
        ("x", 6, 8),
        ("y", 8, 10),
        ("scale", 10, 12),
        ("rotation", 12, 14),
    ]
    assert groups_of(SHAPES, 9) == [("shape", 0, 6), ("x", 6, 8)]


def test_a_column_that_is_named_after_another_is_no_factor_of_its_own() -> None:
    columns = [target("slant"), target("asked_slant"), target("slant_level", "class")]
    assert groups_of(columns, 16) == [("slant", 0, 2)]
    assert groups_of([target("asked_slant")], 16) == [("asked_slant", 0, 2)]


@given(st.lists(st.sampled_from(["a", "b", "c", "a_b", "d" * 65, "e"]), unique=True), st.integers(1, 40))
def test_groups_touch_and_never_fill_the_latent(names: list[str], latent_dim: int) -> None:
    found = groups_of([target(name, "class" if name < "c" else "real") for name in names], latent_dim)
    ends = [0, *(end for _, _, end in found)]
    assert [start for _, start, _ in found] == ends[:-1]
    assert ends[-1] < latent_dim


@pytest.fixture
def page(db: None) -> Client:
    rows.make_plugin(PluginKind.MODEL, "Net")
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    return client


def names(page: Client, **query: Any) -> list[str]:
    shown = page.get("/experiments/new/", {"architecture": "Net", **query}).content.decode()
    return [name for name in NAMES.findall(re.sub(r"\s+", " ", shown)) if name]


def test_the_form_asks_for_the_groups_of_the_dataset_that_is_chosen(page: Client) -> None:
    shapes, digits = rows.make_dataset("shapes"), rows.make_dataset("digits")
    Dataset.objects.filter(pk=shapes.pk).update(targets=SHAPES)
    Dataset.objects.filter(pk=digits.pk).update(targets=[target("digit", "class"), target("slant")])
    assert names(page, groups="targets", dataset="shapes") == ["shape", "x", "y", "scale", "rotation"]
    assert names(page, groups="targets", dataset="digits") == ["digit", "slant"]
    assert names(page, groups="targets", dataset="shapes", latent_dim="7") == ["shape"]
    assert names(page, groups="targets", dataset="", latent_dim="x") == []
    assert names(page, dataset="shapes") == []


def test_what_was_typed_is_not_divided_anew(page: Client) -> None:
    """A form that is fetched again sends its groups, and no longer asks for those of the targets."""
    Dataset.objects.filter(pk=rows.make_dataset("shapes").pk).update(targets=SHAPES)
    shown = page.get("/experiments/new/", {"architecture": "Net", "groups": "targets"}).content.decode()
    assert 'name="groups"' not in shown
