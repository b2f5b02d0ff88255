"""Rows that the tests of training begin with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.tests import rows


@pytest.fixture
def user(db: None) -> Any:
    """A signed-in person."""
    return get_user_model().objects.create_user("ada", password="a long enough one")


@pytest.fixture
def page(user: Any) -> Client:
    """A browser of the signed-in person."""
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def plugins(db: None) -> dict[str, Plugin]:
    """The plugin rows of the built-in tasks, models and a generator, as the watcher writes them."""
    return rows.make_plugins()


@pytest.fixture
def dataset(db: None) -> Dataset:
    """Digits: 1 x 32 x 32, a class target and a real one."""
    return rows.make_dataset()


@pytest.fixture
def branch(db: None, user: Any, plugins: dict[str, Plugin]) -> Branch:
    """Branch main of experiment digits, without tasks."""
    return rows.make_branch(user)


@pytest.fixture
def task(branch: Branch, dataset: Dataset) -> Task:
    """A reconstruction task on the branch."""
    return rows.make_task(branch, dataset)


@pytest.fixture
def worker(db: None) -> Worker:
    """An online CPU worker of all queues."""
    return rows.make_worker("cpu-0")


@pytest.fixture
def make_job(db: None) -> Callable[..., Job]:
    """Make a job row without its doorbell: ``make_job(branch, total_steps=10)``."""
    return rows.make_job
