"""``manage.py tasks`` does from a shell what the page does, and a running job hears of it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from acc.errors import InvalidInput
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import JobEvent
from accsite.apps.jobs.states import JobState
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.selectors import find_task
from accsite.apps.training.tests import rows


def shell(verb: str, *words: str) -> tuple[int, str, str]:
    """Return exit status, stdout and stderr of ``manage.py tasks`` on branch main of digits."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("tasks", verb, "--experiment", "digits", *words, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_a_task_is_added_with_all_that_it_takes(branch: Branch, dataset: Dataset) -> None:
    words = ("ClassificationTask", "--dataset", dataset.slug, "--factor", "digit", "--weight", "0.5")
    status, out, _ = shell("add", *words, "--name", "Digit", "--param", "target_name=digit", "--disabled")
    assert (status, out) == (0, "digit: off, weight 0.5, position 0\n")
    task = Task.objects.get()
    assert (task.name, task.factor, task.weight, task.enabled) == ("Digit", "digit", 0.5, False)
    assert task.params == {"target_name": "digit"}


def test_a_task_reads_a_slice_and_is_shown_as_json(branch: Branch, dataset: Dataset) -> None:
    words = ("ClassificationTask", "--dataset", dataset.slug, "--latent-slice", "6:8", "--json")
    status, out, _ = shell("add", *words)
    made = json.loads(out)
    assert (status, made["latent_slice"], made["id"]) == (0, [6, 8], Task.objects.get().pk)


def test_the_list_shows_order_state_and_what_lost_its_source(branch: Branch, task: Task) -> None:
    rows.make_task(branch, task.dataset, "second", position=1, weight=0.25, enabled=False)
    Plugin.objects.filter(name=task.task_class).update(available=False)
    lines = shell("list")[1].splitlines()
    assert lines[1].startswith("reconstruction")
    assert "(source removed)" in lines[1]
    assert lines[2].rstrip().endswith("off, weight 0.25, position 1")
    assert [json.loads(line)["key"] for line in shell("list", "--json")[1].splitlines()] == [
        "reconstruction",
        "second",
    ]


def test_removed_tasks_are_listed_on_request(branch: Branch, task: Task) -> None:
    assert shell("remove", task.key) == (0, "reconstruction: removed\n", "")
    assert shell("list") == (0, "digits/main has no tasks\n", "")
    assert "removed" in shell("list", "--all")[1]


def test_every_change_reaches_a_running_job(branch: Branch, task: Task) -> None:
    rows.make_task(branch, task.dataset, "second", position=1)
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    told = f"job {job.pk} was told; `manage.py jobs show {job.pk}` shows it\n"
    assert shell("weight", "second", "0.5") == (0, f"second: on, weight 0.5, position 1\n{told}", "")
    for verb in ("disable", "enable", "remove", "restore"):
        assert shell(verb, "Second")[0] == 0
    assert shell("move", "second", "0") == (0, "second: on, weight 0.5, position 0\n", "")
    kinds = [event.kind for event in JobEvent.objects.order_by("id")]
    assert kinds == ["set_weight", "set_enabled", "set_enabled", "remove_task", "add_task"]
    assert list(branch.tasks.values_list("key", flat=True)) == ["second", "reconstruction"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("weight", "reconstruction", "-1"), "weight: "),
        (("weight", "nothing", "1"), "task: 'nothing' is not a task of digits/main; known: reconstruction"),
        (("restore", "reconstruction"), "task: 'reconstruction' is not a removed task of digits/main; known"),
        (("move", "reconstruction", "up"), "position: "),
        (("add", "Nothing", "--dataset", "handwritten-digits"), "task_class: 'Nothing' cannot be used"),
        (("add", "ClassificationTask", "--dataset", "gone"), "dataset: 'gone' is not a dataset"),
        (
            ("add", "ClassificationTask", "--dataset", "handwritten-digits", "--latent-slice", "6"),
            "latent_slice: '6' is not a range of dimensions; write start:end, such as 0:6",
        ),
        (
            ("add", "ClassificationTask", "--dataset", "handwritten-digits", "--param", "colour"),
            "param: 'colour' is not NAME=VALUE",
        ),
        (("list", "--branch", "dev"), "branch: 'dev' is not a branch of digits; known: main"),
    ],
)
def test_bad_input_is_told_with_status_2_and_changes_nothing(
    task: Task, words: tuple[str, ...], told: str
) -> None:
    status, out, err = shell(*words)
    assert (status, out) == (2, "")
    assert f"error: {told}" in err
    assert list(Task.objects.values_list("weight", "position", "removed_at")) == [(1.0, 0, None)]


def test_a_name_that_several_have_asks_for_a_key(user: Any, branch: Branch, task: Task) -> None:
    rows.make_task(branch, task.dataset, "again", name=task.name)
    status, _, err = shell("enable", task.name)
    assert status == 2
    assert "is the name of several; give a key: " in err


def test_a_task_that_is_there_is_meant_before_one_that_was_removed(branch: Branch, dataset: Dataset) -> None:
    gone = rows.make_task(branch, dataset, "digit", removed_at=timezone.now())
    assert find_task(branch, "digit", removed=None) == gone
    assert find_task(branch, "Digit", removed=None) == gone
    there = rows.make_task(branch, dataset, "digit-2", name="digit")
    assert find_task(branch, "digit", removed=None) == there
    assert find_task(branch, "digit", removed=True) == gone
    with pytest.raises(InvalidInput, match="'nothing' is not a task of digits/main; known: digit-2"):
        find_task(branch, "nothing", removed=None)
