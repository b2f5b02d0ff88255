"""The form of a new task: what it offers follows its class, nothing typed is lost, what is refused stands beside it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from acc.training.protocols import Command, CommandResult
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.jobs.states import JobState
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.services import events, tasks
from accsite.apps.training.tests import rows

PARTIAL = {"HX-Request": "true"}


@pytest.fixture
def browser(user: Any) -> Client:
    """A client that is signed in as ``user``."""
    client = Client()
    client.force_login(user)
    return client


def address(branch: Branch, *task: int) -> str:
    name = "training:task" if task else "training:task-add"
    return reverse(name, args=[branch.experiment.slug, branch.slug, *task])


def form(browser: Client, branch: Branch, **values: str) -> str:
    response = browser.get(address(branch), values, headers=PARTIAL)
    assert response.status_code == 200
    return response.text


def option(html: str, value: str) -> str:
    found = re.search(rf'<option[^>]*value="{value}"[^>]*>[^<]*', html)
    assert found, f"no option {value!r}"
    return found[0]


@pytest.fixture
def plain(db: None) -> Dataset:
    """Images without any target."""
    return rows.make_dataset("plain", targets=[])


@pytest.fixture
def rich(plugins: dict[str, Plugin]) -> Plugin:
    """A class with a parameter of each type."""
    named = rows.named
    return rows.make_plugin(
        PluginKind.TASK,
        "RichTask",
        label="Rich",
        params=[
            named("beta", 2.0, min=0, max=10, help="how strict"),
            named("order", 3, min=1, max=9, unit="px"),
            named("mode", "fast", choices=("fast", "exact")),
            named("normed", True),
            named("note", ""),
        ],
    )


def test_datasets_that_do_not_suit_are_there_and_say_why(
    browser: Client, branch: Branch, dataset: Dataset, plain: Dataset
) -> None:
    rows.make_dataset("large", height=64, width=64)
    html = form(browser, branch, task_class="ClassificationTask")
    assert "disabled" not in option(html, dataset.slug)
    assert "it has no class target" in option(html, "plain")
    assert "disabled" in option(html, "plain")
    assert "its images are 1 x 64 x 64, the model reads 1 x 32 x 32" in option(html, "large")
    assert "disabled" not in option(form(browser, branch, task_class="ReconstructionTask"), "plain")


def test_a_class_that_needs_a_posterior_is_not_for_a_model_without(
    browser: Client, branch: Branch, dataset: Dataset
) -> None:
    branch.experiment.model_spec = {
        **branch.experiment.model_spec,
        "architecture": "Autoencoder",
        "params": {},
    }
    branch.experiment.save()
    assert "needs a model with a posterior" in option(form(browser, branch), "KLDivergenceTask")


def test_target_columns_are_those_that_the_class_learns(
    browser: Client, branch: Branch, dataset: Dataset
) -> None:
    html = form(browser, branch, task_class="RegressionTask")
    columns = html[html.index('name="params-target_name"') :].split("</select>")[0]
    assert re.findall(r'value="([^"]*)"', columns) == ["", "slant"]


def test_the_fields_are_those_of_the_parameters(
    browser: Client, branch: Branch, dataset: Dataset, rich: Plugin
) -> None:
    html = form(browser, branch, task_class="RichTask")
    for expected in (
        r'<input type="number" name="params-beta" value="2.0" step="any" min="0" max="10"',
        r'<input type="number" name="params-order" value="3" step="1" min="1" max="9"',
        r'<option value="exact">exact',
        r'<option value="true" selected>yes',
        r'<input type="text" name="params-note"',
        "how strict",
        r"Order \(px\)",
    ):
        assert re.search(expected, html), expected


def test_what_is_typed_survives_another_class_and_comes_back(
    browser: Client, branch: Branch, dataset: Dataset, rich: Plugin
) -> None:
    typed = {
        "task_class": "ReconstructionTask",
        "name": "Mine",
        "weight": "0.3",
        "params-beta": "7.5",
        "factor": "digit",
    }
    html = form(browser, branch, **typed)
    assert 'value="Mine"' in html
    assert 'value="0.3"' in html
    assert '<input type="hidden" name="params-beta" value="7.5">' in html
    assert '<input type="hidden" name="factor" value="digit">' in html
    back = form(browser, branch, **{**typed, "task_class": "RichTask"})
    assert re.search(r'<input type="number" name="params-beta" value="7.5"', back)
    assert "selected" in option(back, "digit")


def test_the_name_that_an_empty_field_means_is_shown(
    browser: Client, branch: Branch, task: Task, user: Any
) -> None:
    Task.objects.update(name="Reconstruction")
    assert 'placeholder="Reconstruction 2"' in form(browser, branch, task_class="ReconstructionTask")
    assert 'placeholder="Slant"' in form(browser, branch, task_class="RegressionTask")
    told = {"task_class": "RegressionTask", "params-target_name": "digit"}
    assert 'placeholder="Slant"' in form(browser, branch, **told), "carried along from another class"


def test_a_class_that_is_gone_is_said_to_be(
    browser: Client, branch: Branch, dataset: Dataset, rich: Plugin
) -> None:
    Plugin.objects.filter(name="RichTask").update(available=False)
    html = form(browser, branch, task_class="RichTask", name="Mine")
    assert "RichTask is gone from the plugins" in html
    assert 'value="Mine"' in html
    refused = browser.post(
        address(branch), {"task_class": "RichTask", "dataset": dataset.slug}, headers=PARTIAL
    )
    assert refused.status_code == 422
    assert "its source was removed" in refused.text


def test_a_broken_file_is_told_where_the_class_is_missed(browser: Client, branch: Branch) -> None:
    PluginFile.objects.create(
        path="tasks/mine.py",
        sha256="0" * 64,
        error="SyntaxError: '(' was never closed",
        error_line=3,
        error_context=">    3 | class Mine(",
    )
    PluginFile.objects.create(path="models/other.py", sha256="0" * 64, error="elsewhere")
    html = form(browser, branch)
    for words in ("tasks/mine.py:3", "was never closed", "class Mine("):
        assert words in html
    assert "elsewhere" not in html


@pytest.mark.parametrize("headers", [PARTIAL, {}], ids=["script", "no script"])
def test_refusals_stand_beside_their_fields_with_the_values_kept(
    browser: Client, branch: Branch, dataset: Dataset, rich: Plugin, headers: dict[str, str]
) -> None:
    data = {
        "task_class": "RichTask",
        "dataset": dataset.slug,
        "weight": "-1",
        "params-beta": "11",
        "params-note": "n",
    }
    response = browser.post(address(branch), data, headers=headers)
    assert response.status_code == 422
    html = response.text
    assert 'id="task-params-beta_error"' in html
    assert "above the most allowed, 10" in html
    assert 'id="task-weight_error"' in html
    assert 'value="11"' in html
    assert ("<html" in html) is not bool(headers)
    assert not branch.tasks.exists()


def test_a_task_is_added_with_its_parameters(
    browser: Client, branch: Branch, dataset: Dataset, rich: Plugin
) -> None:
    data = {
        "task_class": "RichTask",
        "dataset": dataset.slug,
        "params-beta": "4",
        "params-normed": "false",
        "factor": "digit",
    }
    assert browser.post(address(branch), data, headers=PARTIAL).status_code == 200
    task = branch.tasks.get()
    assert (task.params["beta"], task.params["normed"], task.factor) == (4.0, False, "digit")


def answer(event: JobEvent, *, ok: bool, message: str = "", field: str = "") -> None:
    """Answer a command as the worker of its job does."""
    command = Command(event.pk, event.kind, event.payload)  # type: ignore[arg-type]
    events.record_command_result(
        event.job_id, event.job.attempt, CommandResult(command, 120, ok=ok, message=message, field=field)
    )


@pytest.fixture
def job(branch: Branch, task: Task) -> Job:
    """A running train job of the branch."""
    return rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=1000)


def test_a_task_that_a_running_job_refuses_leaves_nothing_and_is_told_at_its_field(
    browser: Client, branch: Branch, dataset: Dataset, rich: Plugin, job: Job
) -> None:
    data = {"task_class": "RichTask", "dataset": dataset.slug, "name": "Mine", "params-beta": "4"}
    waiting = browser.post(address(branch), data, headers=PARTIAL)
    assert f"Job {job.pk} takes in Mine" in waiting.text
    again = re.search(r'hx-get="([^"]+again=\d+)"', waiting.text)
    assert again
    answer(JobEvent.objects.get(kind="add_task"), ok=False, message="4 is odd here", field="params.beta")
    assert [each.name for each in branch.tasks.filter(removed_at=None)] == ["Reconstruction"]
    told = browser.get(again[1], headers=PARTIAL).text
    assert re.search(r'id="task-params-beta_error">4 is odd here', told)
    assert 'value="Mine"' in told
    panel = browser.get(address(branch, branch.tasks.get(name="Reconstruction").pk), headers=PARTIAL).text
    assert "Mine was not added: params.beta: 4 is odd here" in panel
    assert "Undo" not in panel


def test_a_task_that_a_running_job_takes_in_is_there(
    browser: Client, branch: Branch, dataset: Dataset, rich: Plugin, job: Job
) -> None:
    browser.post(address(branch), {"task_class": "RichTask", "dataset": dataset.slug}, headers=PARTIAL)
    added = branch.tasks.get(task_class="RichTask")
    answer(JobEvent.objects.get(kind="add_task"), ok=True)
    assert "+ Task" in browser.get(address(branch), {"again": added.pk}, headers=PARTIAL).text
    assert "applied at step 120" in browser.get(address(branch, added.pk), headers=PARTIAL).text


def test_a_change_waits_in_its_row_until_the_job_has_applied_it(
    browser: Client, branch: Branch, task: Task, job: Job
) -> None:
    html = browser.post(address(branch, task.pk), {"weight": "0.5"}, headers=PARTIAL).text
    assert f'data-status="PENDING">waiting for job {job.pk}' in html
    answer(JobEvent.objects.get(kind="set_weight"), ok=True)
    html = browser.get(address(branch, task.pk), headers=PARTIAL).text
    assert 'data-status="APPLIED">applied at step 120' in html


def test_a_removal_is_undone_from_the_panel(browser: Client, branch: Branch, task: Task) -> None:
    html = browser.post(address(branch, task.pk), {"remove": "1"}, headers=PARTIAL).text
    assert f'id="undo-{task.pk}"' in html
    assert f'id="task-{task.pk}"' not in html
    html = browser.post(address(branch, task.pk), {"restore": "1"}, headers=PARTIAL).text
    assert f'id="task-{task.pk}"' in html
    assert "Undo" not in html


def test_tasks_move_up_and_down(
    browser: Client, user: Any, branch: Branch, task: Task, dataset: Dataset
) -> None:
    second = tasks.add_task(actor=user, branch=branch, task_class="ClassificationTask", dataset=dataset)
    html = browser.post(
        address(branch, second.pk), {"move": "0", "open": str(second.pk)}, headers=PARTIAL
    ).text
    assert html.index(f'id="task-{second.pk}"') < html.index(f'id="task-{task.pk}"')
    assert f'id="down-{second.pk}"' in html, "what was open stays open"


@pytest.mark.parametrize(("optimizer", "shown"), [("adamw", True), ("adam", True), ("sgd", False)])
def test_the_page_says_when_a_lone_weight_changes_nothing(
    browser: Client, branch: Branch, task: Task, optimizer: str, shown: bool
) -> None:
    job = rows.make_job(branch)
    job.spec["train"]["optimizer"] = optimizer
    job.save()
    html = browser.get(address(branch, task.pk), headers=PARTIAL).text
    assert ('id="lone"' in html) is shown


def test_a_second_task_ends_the_warning_until_it_is_off(
    browser: Client, user: Any, branch: Branch, task: Task, dataset: Dataset
) -> None:
    second = tasks.add_task(actor=user, branch=branch, task_class="ClassificationTask", dataset=dataset)
    assert 'id="lone"' not in browser.get(address(branch, task.pk), headers=PARTIAL).text
    tasks.set_enabled(actor=user, task=second, enabled=False)
    assert 'id="lone"' in browser.get(address(branch, task.pk), headers=PARTIAL).text


def test_a_new_task_begins_as_reconstruction_and_then_on_the_dataset_that_is_used(
    browser: Client, user: Any, branch: Branch, dataset: Dataset
) -> None:
    rows.make_plugin(PluginKind.TASK, "ActivationTask", label="Activation")
    rows.make_dataset("aaa")
    assert "selected" in option(form(browser, branch), "ReconstructionTask")
    tasks.add_task(actor=user, branch=branch, task_class="ReconstructionTask", dataset=dataset)
    second = form(browser, branch)
    assert "selected" in option(second, "ActivationTask")
    assert "selected" in option(second, dataset.slug)
