"""An operator adds, weighs, switches and orders tasks in the admin, by the services that pages use."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from accsite.apps.training.models import Branch, Experiment, Task
from accsite.apps.training.models.experiments import Visibility
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db
NEW = "/admin/training/task/add/"


@pytest.fixture
def operator() -> Client:
    """Return the browser of an administrator."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def filled(branch: Branch, **fields: Any) -> dict[str, Any]:
    given = {
        "branch": branch.pk,
        "task_class": "ReconstructionTask",
        "learned_from": rows.make_dataset("more").pk,
    }
    return {**given, "weight": "2", "enabled": "on", "params": "{}", **fields}


def test_a_task_is_added(operator: Client, branch: Branch) -> None:
    rows.make_plugins()
    assert operator.get(NEW).status_code == 200
    answer = operator.post(NEW, filled(branch, name="Sharp"))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    made = branch.tasks.get()
    assert (made.name, made.weight, made.enabled) == ("Sharp", 2, True)


def test_what_is_refused_stands_beside_its_field_and_leaves_nothing(operator: Client, branch: Branch) -> None:
    rows.make_plugins()
    answer = operator.post(NEW, filled(branch, params='{"nothing": 1}'))
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == ["params"]
    assert not Task.objects.exists()


def test_weight_switch_and_order_are_changed(operator: Client, branch: Branch, task: Task) -> None:
    other = rows.make_task(branch, task.dataset, key="other", position=1)
    where = reverse("admin:training_task_change", args=[task.pk])
    assert operator.get(where).status_code == 200
    answer = operator.post(where, {"weight": "0.25", "position": "1"})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    task.refresh_from_db()
    other.refresh_from_db()
    assert (task.weight, task.enabled, task.position, other.position) == (0.25, False, 1, 0)
    assert operator.post(where, {"weight": "-1", "position": "1"}).status_code == 200
    task.refresh_from_db()
    assert task.weight == 0.25


def test_staff_who_may_not_change_the_branch_change_nothing(branch: Branch, task: Task) -> None:
    staff, client = User.objects.create_user("staff", is_staff=True), Client()
    client.force_login(staff)
    Experiment.objects.filter(pk=branch.experiment_id).update(visibility=Visibility.PRIVATE)
    weight = task.weight
    where = reverse("admin:training_task_change", args=[task.pk])
    assert client.post(where, {"weight": "9", "position": "0"}).status_code in {302, 403}
    task.refresh_from_db()
    assert task.weight == weight
    count = Task.objects.count()
    assert client.post(NEW, filled(branch)).status_code in {200, 403}
    assert Task.objects.count() == count
