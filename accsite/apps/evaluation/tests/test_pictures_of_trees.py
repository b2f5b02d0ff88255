"""The pages of trees show what is kept of checkpoints as pictures: in the list, beside the tree, and large on top."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accsite.apps.evaluation.models import Artifact, Evaluation, Part
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.tests import rows
from accsite.apps.trees import pictures, selectors
from accsite.tests.markup import folded

PARTIAL = {"HX-Request": "true"}


@pytest.fixture
def user(django_user_model: Any, db: None) -> Any:
    return django_user_model.objects.create_user("ada", password="a long enough one")


@pytest.fixture
def page(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def branch(user: Any) -> Branch:
    return rows.make_branch(user)


def drawn(checkpoint: Checkpoint) -> Artifact:
    """Return a picture of reconstructions of a checkpoint."""
    evaluation = Evaluation.objects.create(branch=checkpoint.branch, checkpoint=checkpoint, step=10)
    meta = {"width": 256, "height": 96, "tile": [32, 32], "columns": 8, "of": "held-out images"}
    return Artifact.objects.create(
        evaluation=evaluation, kind="reconstructions", name="digits", file="x", sha256="0", meta=meta
    )


def test_an_experiment_is_listed_with_its_newest_picture_and_the_parts_of_its_latent(
    page: Client, branch: Branch
) -> None:
    checkpoint = rows.make_checkpoint(branch, losses={"total": 0.5})
    drawn(checkpoint)
    newest = drawn(checkpoint)
    text = folded(page.get("/experiments/"))
    assert f'<image href="/evaluate/artifacts/{newest.pk}/" width="256" height="96"/>' in text
    assert 'viewBox="0 0 96 64"' in text
    assert 'aria-label="digit 6, free 10"' in text
    assert "<b>0.5</b>" in text


def test_a_deleted_checkpoint_gives_its_picture_back(branch: Branch) -> None:
    kept, gone = (drawn(rows.make_checkpoint(branch, step=step)) for step in (1, 2))
    assert gone.evaluation.checkpoint_id is not None
    Checkpoint.everything.filter(pk=gone.evaluation.checkpoint_id).update(deleted_at=timezone.now())
    shown = pictures.newest([branch.experiment_id])[branch.experiment_id]
    assert shown.url == f"/evaluate/artifacts/{kept.pk}/"
    assert pictures.of(gone.evaluation.checkpoint_id) is None
    assert list(pictures.in_tree(branch.experiment_id)) == [kept.evaluation.checkpoint_id]


def test_a_picture_of_which_no_measures_are_kept_is_not_shown(page: Client, branch: Branch) -> None:
    checkpoint = rows.make_checkpoint(branch)
    Artifact.objects.filter(pk=drawn(checkpoint).pk).update(meta={"of": "images"})
    assert 'class="thumb none"' in page.get("/experiments/").text
    assert selectors.compact(selectors.tree(branch.experiment))["pictures"] == {}
    assert "No picture yet" in page.get(f"/experiments/{branch.experiment.slug}/?node={checkpoint.pk}").text


def test_a_list_of_many_takes_no_more_queries_than_one_of_few(
    page: Client, branch: Branch, user: Any
) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert page.get("/experiments/").status_code == 200
        return len(queries)

    def grow(main: Branch) -> None:
        head = rows.make_checkpoint(main, rows.make_job(main, state="RUNNING"))
        side = Branch.objects.create(
            experiment=main.experiment, name="side", slug="side", forked_from=head, head=head
        )
        Branch.objects.filter(pk=main.pk).update(head=head)
        drawn(rows.make_checkpoint(side, rows.make_job(side, state="SUCCEEDED")))

    grow(branch)
    few = asked()
    for number in range(5):
        grow(rows.make_branch(user, f"other-{number}"))
    assert asked() == few


def test_a_tree_tells_the_newest_picture_of_each_checkpoint_in_one_query(branch: Branch) -> None:
    first, second, bare = (rows.make_checkpoint(branch, step=step) for step in (1, 2, 3))
    drawn(first)
    newest, other = drawn(first), drawn(second)
    told = selectors.compact(selectors.tree(branch.experiment))
    assert told["pictures"] == {
        0: [f"/evaluate/artifacts/{newest.pk}/", 256, 96, 32, 32],
        1: [f"/evaluate/artifacts/{other.pk}/", 256, 96, 32, 32],
    }
    assert bare.pk


def test_a_checkpoint_has_its_pictures_on_top_and_they_come_anew_when_it_is_measured(
    page: Client, branch: Branch
) -> None:
    root = rows.make_checkpoint(branch)
    text = page.get(f"/checkpoints/{root.pk}/").text
    assert "Nothing is drawn of it yet" in text
    assert f'hx-get="/checkpoints/{root.pk}/?panel=pictures"' in text
    evaluation = Evaluation.objects.create(
        branch=branch, checkpoint=root, step=10, options={}, dataset="digits"
    )
    part = {"evaluation": evaluation, "key": "k"}
    Part.objects.create(name="reconstructions", **part)
    Part.objects.create(name="traversals", **part)
    size = {"width": 128, "height": 32, "tile": [32, 32], "columns": 4}
    moved = {**size, "group": "digit", "values": [-1.5, 0, 1.5], "steps": 3}
    kept = {"evaluation": evaluation, "file": "x", "sha256": "0"}
    drawn = Artifact.objects.create(kind="reconstructions", name="digits", meta={**size, "of": ""}, **kept)
    Artifact.objects.create(kind="traversals", name="digit", meta=moved, **kept)
    panel = page.get(f"/checkpoints/{root.pk}/?panel=pictures", headers=PARTIAL).text
    assert f'src="/evaluate/artifacts/{drawn.pk}/"' in panel
    assert 'aria-label="digit moved from -1.5 to 1.5 in 3 steps"' in panel
    assert 'viewBox="32 0 96 32"' in panel
    sheet = page.get(f"/experiments/{branch.experiment.slug}/?node={root.pk}").text
    assert f'href="/evaluate/artifacts/{drawn.pk}/"' in sheet
