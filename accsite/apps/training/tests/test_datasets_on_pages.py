"""The list of datasets says who trains on each, and a dataset's page leads on to training on it."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accsite.apps.training.models import Experiment
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases


@pytest.fixture
def page(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    return client


def cards(page: Client) -> dict[str, list[str]]:
    shown = page.get("/datasets/").context["datasets"]
    return {card["dataset"].slug: [place.name for place in card["places"]] for card in shown}


def test_a_card_names_the_branches_that_train_on_a_dataset(page: Client) -> None:
    used, idle = rows.make_dataset("used"), rows.make_dataset("idle")
    branch = rows.make_branch(None)
    for key in ("reconstruction", "digit"):
        rows.make_task(branch, used, key)
    rows.make_task(branch, idle, "gone", removed_at="2026-01-01T00:00Z")
    assert cards(page) == {"idle": [], "used": ["digits / main"]}
    Experiment.objects.update(visibility="private")
    assert cards(page)["used"] == []


def test_as_many_questions_are_asked_however_many_datasets_there_are(page: Client) -> None:
    branch = rows.make_branch(None)
    rows.make_task(branch, rows.make_dataset("first"), "first")
    page.get("/datasets/")
    with CaptureQueriesContext(connection) as few:
        page.get("/datasets/")
    for number in range(10):
        rows.make_task(branch, rows.make_dataset(f"more-{number}"), f"more-{number}")
    with CaptureQueriesContext(connection) as many:
        page.get("/datasets/")
    assert len(many) == len(few)


def test_a_dataset_leads_to_a_new_experiment_and_to_branches_that_fit_its_images(page: Client) -> None:
    small, coloured = rows.make_dataset("small"), rows.make_dataset("coloured", channels=3)
    rows.make_branch(None)
    shown = page.get(f"/datasets/{small.slug}/?head=1").content.decode()
    assert f"/experiments/new/?dataset={small.slug}" in shown
    assert f"/w/digits/main/tasks/?dataset={small.slug}" in shown
    other = page.get(f"/datasets/{coloured.slug}/?head=1").content.decode()
    assert f"/experiments/new/?dataset={coloured.slug}" in other
    assert "/w/digits/main/tasks/" not in other
    Experiment.objects.update(visibility="private")
    assert "/w/digits/main/tasks/" not in page.get(f"/datasets/{small.slug}/?head=1").content.decode()


def test_a_long_name_is_whole_for_who_hears_it_and_gives_way_in_its_middle(page: Client) -> None:
    name = "Glyphs of every thickness, leaning a little, drawn for the study of slant (v2)"
    rows.make_dataset("long", name=name)
    shown = page.get("/datasets/").content.decode()
    assert f'title="{name}"><span class="vh">{name}</span>' in shown
    assert '<span aria-hidden="true">slant (v2)</span>' in shown
