"""Tasks are put in another order, and a removed one comes back, without upsetting what is trained."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from acc.errors import InvalidInput
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import JobEvent
from accsite.apps.jobs.states import JobState
from accsite.apps.live.models import Topic
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.services import tasks
from accsite.apps.training.tests import rows
from accsite.errors import WrongState


@pytest.fixture
def abc(branch: Branch, dataset: Dataset) -> list[Task]:
    """Three tasks in their order."""
    return [rows.make_task(branch, dataset, key, position=index) for index, key in enumerate("abc")]


@pytest.fixture
def api(user: Any) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def order(branch: Branch) -> str:
    return "".join(branch.tasks.filter(removed_at=None).values_list("key", flat=True))


@pytest.mark.parametrize(
    ("which", "to", "after"), [(2, 0, "cab"), (0, 1, "bac"), (0, 99, "bca"), (1, "1", "abc"), (1, 2, "acb")]
)
def test_a_task_moves_to_a_place(*, branch: Branch, abc: list[Task], which: int, to: Any, after: str) -> None:
    moved = tasks.move_task(task=abc[which], position=to)
    assert order(branch) == after
    assert list(branch.tasks.values_list("position", flat=True)) == [0, 1, 2]
    assert after[moved.position] == moved.key


def test_removed_tasks_take_no_place(user: Any, branch: Branch, abc: list[Task]) -> None:
    tasks.remove_task(actor=user, task=abc[0])
    tasks.move_task(task=abc[2], position=0)
    assert order(branch) == "cb"
    with pytest.raises(WrongState, match="'A' was removed from its branch; restore it first"):
        tasks.move_task(task=abc[0], position=1)


def test_moving_tells_pages_and_not_the_job(branch: Branch, abc: list[Task]) -> None:
    rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    tasks.move_task(task=abc[2], position=0)
    assert not JobEvent.objects.exists()
    assert Topic.objects.filter(name=f"tasks:{branch.pk}").exists()


@pytest.mark.parametrize("position", [-1, "first", None, 1.5])
def test_a_place_that_is_none_is_refused_by_name(abc: list[Task], position: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        tasks.move_task(task=abc[0], position=position)
    assert list(caught.value.fields) == ["position"]


def test_the_api_moves_and_refuses(api: APIClient, branch: Branch, abc: list[Task]) -> None:
    url = f"/api/v1/tasks/{abc[2].pk}/move/"
    moved = api.post(url, {"position": 0}, format="json")
    assert (moved.status_code, moved.json()["position"], order(branch)) == (200, 0, "cab")
    assert api.post(url, {"position": -1}, format="json").status_code == 422
    assert api.post(url, {}, format="json").json()["errors"].keys() == {"position"}
    assert order(branch) == "cab"


def test_a_removed_task_takes_no_changes_and_comes_back_once(
    api: APIClient, branch: Branch, abc: list[Task]
) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    url = f"/api/v1/tasks/{abc[1].pk}/"
    assert api.delete(url).status_code == 204
    assert api.delete(url).status_code == 409
    assert api.patch(url, {"weight": 2}, format="json").status_code == 409
    assert api.post(f"{url}restore/").status_code == 200
    assert api.post(f"{url}restore/").status_code == 409
    assert list(job.events.values_list("kind", flat=True)) == ["remove_task", "add_task"]
    assert order(branch) == "abc"


def test_a_name_that_was_taken_meanwhile_gets_a_number(user: Any, branch: Branch, abc: list[Task]) -> None:
    tasks.remove_task(actor=user, task=abc[0])
    Task.objects.filter(pk=abc[1].pk).update(name="A")
    tasks.restore_task(actor=user, task=abc[0])
    assert Task.objects.get(pk=abc[0].pk).name == "A 2"
