"""The HTML pages of training without a browser: what they refuse, keep, hide and return for scripts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, Experiment, Task, Visibility
from accsite.tests.markup import folded

PARTIAL = {"HX-Request": "true"}


@pytest.fixture
def browser(user: Any) -> Client:
    """A client that is signed in as ``user``."""
    client = Client()
    client.force_login(user)
    return client


def bench(branch: Branch, name: str = "workbench", *args: Any) -> str:
    """Return an address of the branch's workbench."""
    return reverse(f"training:{name}", args=[branch.experiment.slug, branch.slug, *args])


def test_nobody_sees_a_page_without_signing_in(client: Client, branch: Branch) -> None:
    response = client.get(bench(branch))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("access:sign-in"))


def test_the_front_page_welcomes_who_has_nothing_yet(browser: Client) -> None:
    response = browser.get("/")
    assert response.status_code == 200
    assert "Create an experiment" in response.text


def test_the_front_page_leads_to_the_branch_worked_on_last(
    browser: Client, branch: Branch, make_job: Callable[..., Job]
) -> None:
    make_job(branch, total_steps=10)
    assert browser.get("/")["Location"] == bench(branch)


def test_a_private_experiment_is_not_there_for_others(
    browser: Client, branch: Branch, make_job: Callable[..., Job]
) -> None:
    job = make_job(branch, total_steps=10)
    Experiment.objects.update(visibility=Visibility.PRIVATE, owner=None)
    addresses = [
        bench(branch),
        bench(branch, "workbench-panel", "tasks"),
        reverse("trees:experiment", args=[branch.experiment.slug]),
        reverse("training:job", args=[job.pk]),
        reverse("evaluation:branch", args=[branch.pk]),
        reverse("evaluation:branch-reconstructions", args=[branch.pk]),
    ]
    assert [browser.get(address).status_code for address in addresses] == [404] * len(addresses)
    assert browser.post(bench(branch, "train"), {"steps": "5"}).status_code == 404
    assert browser.post(reverse("training:job-control", args=[job.pk]), {"kind": "stop"}).status_code == 404
    assert str(job.pk) not in [row.get("pk") for row in browser.get(reverse("training:jobs")).context["jobs"]]


def test_a_form_without_its_token_is_forbidden(user: Any, branch: Branch, task: Task) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)
    assert strict.post(bench(branch, "train"), {"steps": "5"}).status_code == 403
    assert not Job.objects.exists()


def test_training_is_submitted_and_the_browser_led_back(browser: Client, branch: Branch, task: Task) -> None:
    response = browser.post(bench(branch, "train"), {"steps": "5", "batch_size": "16", "lr": "0.01"})
    assert response["Location"] == bench(branch)
    job = Job.objects.get()
    assert (job.state, job.total_steps, job.spec["train"]["batch_size"]) == (JobState.QUEUED, 5, 16)


def test_the_same_form_sent_twice_makes_one_job(browser: Client, branch: Branch, task: Task) -> None:
    form = browser.get(bench(branch, "workbench-panel", "train"), headers=PARTIAL).context["train_form"]
    data = {"steps": "5", "idempotency_key": form["idempotency_key"].value()}
    for _ in range(2):
        assert browser.post(bench(branch, "train"), data, headers=PARTIAL).status_code == 200
    assert Job.objects.count() == 1


@pytest.mark.parametrize("headers", [PARTIAL, {}], ids=["script", "no script"])
def test_refused_training_stands_beside_its_fields_with_the_values_kept(
    browser: Client, branch: Branch, task: Task, headers: dict[str, str]
) -> None:
    response = browser.post(
        bench(branch, "train"), {"steps": "0", "lr": "fast", "seed": "-1"}, headers=headers
    )
    form = response.context["train_form"]
    assert response.status_code == 422
    assert set(form.errors) == {"steps", "lr", "seed"}
    assert "'fast' is refused" in form.errors["lr"][0]
    assert 'value="fast"' in response.text
    assert 'id="train-seed_error"' in response.text, "a refused field must not stay folded away"
    assert ("<html" in response.text) is not bool(headers)
    assert not Job.objects.exists()


def test_a_branch_without_tasks_says_so_instead_of_training(browser: Client, branch: Branch) -> None:
    response = browser.post(bench(branch, "train"), {"steps": "5"}, headers=PARTIAL)
    assert response.status_code == 422
    assert response.context["train_form"].non_field_errors()


def test_a_weight_is_set_and_a_wrong_one_leaves_the_one_in_force_with_the_reason_beside_it(
    browser: Client, branch: Branch, task: Task
) -> None:
    address = bench(branch, "task", task.pk)
    assert browser.post(address, {"weight": "0.25"}, headers=PARTIAL).status_code == 200
    task.refresh_from_db()
    assert task.weight == 0.25
    for wrong in ("-1", "heavy"):
        refused = browser.post(address, {"weight": wrong}, headers=PARTIAL)
        assert refused.status_code == 422
        assert 'name="weight" value="0.25"' in folded(refused)
        assert wrong in refused.text.partition(f'id="task-error-{task.pk}"')[2].partition("</span>")[0]
    task.refresh_from_db()
    assert task.weight == 0.25


def test_a_task_is_added_from_the_form_and_refused_with_its_reason(
    browser: Client, branch: Branch, task: Task
) -> None:
    data = {"task_class": "ClassificationTask", "dataset": task.dataset.slug, "weight": "1"}
    refused = browser.post(bench(branch, "task-add"), {**data, "latent_slice": "six"}, headers=PARTIAL)
    assert refused.status_code == 422
    assert "write start:end" in refused.context["add_form"].errors["latent_slice"][0]
    assert branch.tasks.count() == 1
    added = browser.post(bench(branch, "task-add"), {**data, "latent_slice": "0:4"}, headers=PARTIAL)
    assert added.status_code == 200
    assert list(branch.tasks.values_list("latent_start", "latent_end"))[-1] == (0, 4)


def test_panels_name_the_versions_they_show(browser: Client, branch: Branch, task: Task) -> None:
    from accsite.apps.live.services import bump

    bump(f"tasks:{branch.pk}")
    version = bump(f"tasks:{branch.pk}")[f"tasks:{branch.pk}"]
    response = browser.get(bench(branch, "workbench-panel", "tasks"), headers=PARTIAL)
    assert f'data-topics="tasks:{branch.pk}={version} registry=' in response.text


def test_an_old_job_stays_in_view_and_a_wrong_one_is_not_there(
    browser: Client, branch: Branch, make_job: Callable[..., Job]
) -> None:
    old, new = make_job(branch, total_steps=10), make_job(branch, total_steps=20)
    Job.objects.filter(pk=old.pk).update(state=JobState.SUCCEEDED)
    Job.objects.filter(pk=new.pk).update(state=JobState.CLAIMED)
    assert browser.get(bench(branch)).context["job"] == new
    assert browser.get(bench(branch), {"job": old.pk}).context["job"] == old
    panel = browser.get(bench(branch, "workbench-panel", "job"), {"job": old.pk}, headers=PARTIAL)
    assert f'data-job="{old.pk}"' in panel.text
    assert f"?job={old.pk}" in panel.text, "the panel must go on asking for the job it shows"
    assert browser.get(bench(branch), {"job": 10**9}).status_code == 404


def test_names_are_shown_as_text(browser: Client, branch: Branch, task: Task) -> None:
    Task.objects.update(name="<img src=x onerror=alert(1)>")
    page = browser.get(bench(branch)).text
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_times_stand_in_the_zone_of_the_reader(
    browser: Client, branch: Branch, make_job: Callable[..., Job]
) -> None:
    job = make_job(branch, total_steps=10)
    Job.objects.update(created_at=datetime(2024, 5, 6, 23, 30, tzinfo=UTC))
    address = reverse("training:job", args=[job.pk])
    assert ">6 May 23:30 UTC</time>" in browser.get(address).text
    browser.cookies["tz"] = "Europe/Berlin"
    assert ">7 May 01:30</time>" in browser.get(address).text
    browser.cookies["tz"] = "../../etc/passwd"
    assert ">6 May 23:30 UTC</time>" in browser.get(address).text


def test_events_are_told_in_words(
    browser: Client, branch: Branch, task: Task, make_job: Callable[..., Job]
) -> None:
    job = make_job(branch, total_steps=10)
    JobEvent.objects.create(job=job, kind="set_weight", payload={"task": task.key, "weight": 0.5}, step=7)
    panel = browser.get(bench(branch, "workbench-panel", "events"), headers=PARTIAL)
    assert f"weight of {task.name} → 0.5" in panel.text
    assert 'data-step="7"' in panel.text


def test_a_waiting_job_is_cancelled_by_its_button(
    browser: Client, branch: Branch, make_job: Callable[..., Job]
) -> None:
    job = make_job(branch, total_steps=10)
    response = browser.post(reverse("training:job-control", args=[job.pk]), {"kind": "cancel"})
    assert response["Location"] == reverse("training:job", args=[job.pk])
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_an_unknown_request_to_a_job_is_refused_in_words(
    browser: Client, branch: Branch, make_job: Callable[..., Job]
) -> None:
    job = make_job(branch, total_steps=10)
    response = browser.post(
        reverse("training:job-control", args=[job.pk]), {"kind": "explode"}, headers=PARTIAL
    )
    assert response.status_code == 422
    assert "&#x27;explode&#x27;" in response.text


def test_an_experiment_is_created_with_its_factors(browser: Client, plugins: Any) -> None:
    address = reverse("trees:experiment-new")
    data = {
        "name": "Tiny",
        "channels": "1",
        "height": "32",
        "width": "32",
        "latent_dim": "16",
        "group-name": ["digit", "free", ""],
        "group-start": ["0", "6", ""],
        "group-end": ["6", "16", ""],
    }
    refused = browser.post(address, {**data, "group-end": ["6", "six", ""]})
    assert refused.status_code == 422
    assert "&#x27;six&#x27; is not a latent dimension" in refused.text
    assert 'value="six"' in refused.text
    assert not Experiment.objects.exists()
    made = browser.post(address, data)
    experiment = Experiment.objects.get()
    assert made["Location"] == reverse("training:workbench", args=[experiment.slug, "main"])
    assert [group["name"] for group in experiment.model_spec["factor_groups"]] == ["digit", "free"]


def test_an_experiment_on_a_dataset_begins_with_its_reconstruction(
    browser: Client, plugins: Any, dataset: Dataset
) -> None:
    address = reverse("trees:experiment-new")
    shown = browser.get(address, {"dataset": dataset.slug}).text
    box = shown.split('id="experiment-begin"')[1].split(">")[0]
    assert "checked" in box
    unticked = browser.get(address, {"dataset": dataset.slug, "name": "A"}, headers=PARTIAL).text
    assert "checked" not in unticked.split('id="experiment-begin"')[1].split(">")[0]
    data = {"name": "Begun", "dataset": dataset.slug, "latent_dim": "16"}
    browser.post(address, {**data, "begin": "1"})
    branch = Experiment.objects.get(name="Begun").branches.get()
    attached = list(branch.tasks.order_by("pk").values_list("name", "task_class", "weight", "dataset"))
    assert attached[0] == ("Reconstruction", "ReconstructionTask", 30.0, dataset.pk)
    assert attached[1:] in ([], [("KL", "KLDivergenceTask", 0.002, dataset.pk)])
    browser.post(address, {**data, "name": "Bare"})
    assert not Experiment.objects.get(name="Bare").branches.get().tasks.exists()


@pytest.mark.parametrize(
    "name",
    [
        "training:jobs",
        "jobs:devices",
        "trees:experiments",
        "datasets:list",
        "registry:plugins",
        "evaluation:home",
    ],
)
def test_every_list_reads_with_nothing_in_it(browser: Client, name: str) -> None:
    assert browser.get(reverse(name)).status_code == 200
