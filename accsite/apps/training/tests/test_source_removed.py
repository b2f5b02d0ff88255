"""A task whose plugin file is gone says so, and is trained on from the source that was kept."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from acc.errors import InvalidInput
from accsite.apps.datasets.models import Dataset
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.pages import tasks as task_pages
from accsite.apps.training.services import jobs, tasks
from accsite.apps.training.tests import rows


@pytest.fixture
def gone(task: Task) -> Plugin:
    """The class of the task, its file deleted."""
    Plugin.objects.filter(name=task.task_class).update(available=False)
    return Plugin.objects.get(name=task.task_class)


@pytest.fixture
def api(user: Any) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def test_the_task_is_marked(api: APIClient, branch: Branch, task: Task, gone: Plugin) -> None:
    url = f"/api/v1/tasks/{task.pk}/"
    assert api.get(url).json()["source_removed"] is True
    assert api.patch(url, {"weight": 2}, format="json").json()["source_removed"] is True
    assert [row.source_removed for row in task_pages.tasks(branch)] == [True]
    Plugin.objects.filter(pk=gone.pk).update(available=True)
    assert api.get(url).json()["source_removed"] is False
    assert [row.source_removed for row in task_pages.tasks(branch)] == [False]


def test_marking_costs_no_query_for_each_task(
    api: APIClient, branch: Branch, dataset: Dataset, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        rows.make_task(branch, dataset, f"t{number}")
    with django_assert_max_num_queries(6):
        assert len(api.get("/api/v1/tasks/").json()["results"]) == 20


def test_the_branch_is_trained_from_the_kept_source(user: Any, branch: Branch, gone: Plugin) -> None:
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 5})
    assert job.spec["tasks"][0]["source_sha256"] == gone.source_id
    assert job.spec["plugins"][gone.name] == gone.source_id


def test_it_is_taken_off_and_put_back_but_not_added_anew(
    user: Any, branch: Branch, task: Task, gone: Plugin
) -> None:
    tasks.remove_task(actor=user, task=task)
    tasks.restore_task(actor=user, task=task)
    with pytest.raises(InvalidInput, match="its source was removed"):
        tasks.add_task(actor=user, branch=branch, task_class=gone.name, dataset=task.dataset)
