"""What the demo makes is found again, also by whoever has renamed it, and is not made twice."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from acc.errors import AccError
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Experiment
from accsite.apps.training.services.branches import rename_branch
from accsite.apps.training.services.tasks import remove_task
from accsite.apps.training.tests import rows
from accsite.supervisor import demo

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset() -> Any:
    rows.make_plugins()
    return rows.make_dataset(demo.DATASET_SLUG)


def prepared(dataset: Any) -> tuple[Branch, Job]:
    """Do what `manage.py demo` does between its dataset and its job."""
    actor = demo.ensure_administrator().user
    branch = demo.ensure_branch(actor, dataset)
    return branch, demo.ensure_training(actor, branch, steps=30)


def test_a_branch_that_was_renamed_is_found_with_its_job_and_its_tasks(dataset: Any):
    first, job = prepared(dataset)
    assert (first.slug, first.tasks.count()) == ("main", 3)
    rename_branch(actor=None, branch=first, name="Trunk")
    again, same = prepared(dataset)
    assert (again.pk, again.slug, same.pk) == (first.pk, "trunk", job.pk)
    assert (Experiment.objects.count(), Branch.objects.count(), Job.objects.count()) == (1, 1, 1)
    assert again.tasks.count() == 3


def test_another_branch_that_is_called_main_now_is_the_demo_s(dataset: Any):
    first, _ = prepared(dataset)
    rename_branch(actor=None, branch=first, name="Trunk")
    other = Branch.objects.create(experiment=first.experiment, name="main", slug="main")
    found, _ = prepared(dataset)
    assert found.pk == other.pk
    assert found.tasks.count() == 3


def test_tasks_that_were_removed_stay_removed(dataset: Any):
    branch, job = prepared(dataset)
    demo_tasks = branch.tasks.all()
    Job.objects.filter(pk=job.pk).delete()
    for task in demo_tasks[1:]:
        remove_task(actor=None, task=task)
    rename_branch(actor=None, branch=branch, name="Trunk")
    again, _ = prepared(dataset)
    assert again.tasks.filter(removed_at=None).count() == 1


def test_an_experiment_without_a_branch_is_told(dataset: Any):
    Experiment.objects.create(
        name="digits", slug="digits", model_spec=demo.MODEL, owner=get_user_model().objects.create_user("ada")
    )
    with pytest.raises(AccError, match="has no branch any more"):
        prepared(dataset)
