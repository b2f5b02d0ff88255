"""Trees are coloured by what was measured, and what was measured goes with a checkpoint that goes for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.apps.trees.services import deletion

pytestmark = pytest.mark.both_databases


@pytest.fixture
def user(django_user_model: Any, db: None) -> Any:
    return django_user_model.objects.create_user("ada", password="a long enough one")


@pytest.fixture
def branch(user: Any) -> Branch:
    return rows.make_branch(user)


def test_the_tree_is_coloured_by_what_was_measured(branch: Branch, client: Client, user: Any) -> None:
    first = rows.make_checkpoint(branch, losses={"total": 2.0})
    second = rows.make_checkpoint(branch, parent=first, losses={"total": 1.0})
    measured = Evaluation.objects.create(branch=branch, checkpoint=second, step=10)
    Metric.objects.create(evaluation=measured, task_key="digit", name="accuracy", value=0.75)
    client.force_login(user)
    url = f"/api/v1/experiments/{branch.experiment.slug}/tree/"
    told = client.get(url).json()
    assert told["value"] == [2.0, 1.0]
    assert told["metrics"] == {"loss/total": False, "metric/digit/accuracy": True}
    other = client.get(url, {"metric": "metric/digit/accuracy"})
    assert other.json()["value"] == [None, 0.75]
    assert (
        client.get(
            url, {"metric": "metric/digit/accuracy"}, headers={"If-None-Match": other["ETag"]}
        ).status_code
        == 304
    )
    assert client.get(url, {"metric": "beauty"}).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_what_nobody_restored_goes_with_its_file_and_its_evaluations() -> None:
    branch = rows.make_branch(None)
    leaf = rows.make_checkpoint(branch)
    Evaluation.objects.create(branch=branch, checkpoint=leaf, step=10)
    deletion.delete_checkpoint(actor=None, checkpoint=leaf)
    assert deletion.purge() == []
    assert default_storage.exists(leaf.file)
    assert deletion.purge(timezone.now() + timedelta(days=30)) == [leaf.pk]
    assert not default_storage.exists(leaf.file)
    assert not Evaluation.objects.exists()
