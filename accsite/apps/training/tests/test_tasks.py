"""Tasks fit their dataset and model before they are attached, and a running job hears of every change."""

from __future__ import annotations

from typing import Any

import pytest

from acc.errors import InvalidInput, TaskError
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import JobEvent
from accsite.apps.jobs.states import JobState
from accsite.apps.live.models import Topic
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.services import jobs, tasks
from accsite.apps.training.tests import rows
from accsite.errors import WrongState


def add(user: Any, branch: Branch, **changes: Any) -> Task:
    values = {"task_class": "ClassificationTask", "dataset": "handwritten-digits", **changes}
    return tasks.add_task(actor=user, branch=branch, **values)


def test_a_task_gets_a_name_a_key_a_place_and_a_colour(user: Any, branch: Branch, dataset: Dataset) -> None:
    first = add(user, branch, factor="digit")
    second = add(user, branch, dataset=dataset, latent_slice=(6, 8), weight="0.5")
    assert [(t.name, t.key, t.position, t.colour_slot) for t in (first, second)] == [
        ("Digit", "classification", 0, 0),
        ("Digit 2", "classification-2", 1, 1),
    ]
    assert (first.factor, first.latent_start, second.latent_start, second.latent_end) == ("digit", None, 6, 8)
    assert second.weight == 0.5
    assert first.params == {"target_name": ""}


def test_a_task_without_a_name_is_called_after_its_target_and_keeps_the_key_of_its_class(
    user: Any, branch: Branch, dataset: Dataset
) -> None:
    dataset.targets = [*dataset.targets, {"name": "stroke_width", "kind": "real"}]
    dataset.save()
    made = [
        add(user, branch, task_class="RegressionTask", params={"target_name": "stroke_width"}),
        add(user, branch, task_class="RegressionTask"),
        add(user, branch, task_class="RegressionTask", params={"target_name": "slant"}),
        add(user, branch, task_class="ReconstructionTask"),
        add(user, branch, task_class="RegressionTask", name="Slope"),
    ]
    assert [(task.name, task.key) for task in made] == [
        ("Stroke width", "regression"),
        ("Slant", "regression-2"),
        ("Slant 2", "regression-3"),
        ("Reconstruction", "reconstruction"),
        ("Slope", "slope"),
    ]


def test_a_removed_task_keeps_its_key_and_colour(user: Any, branch: Branch, dataset: Dataset) -> None:
    first = add(user, branch)
    tasks.remove_task(actor=user, task=first)
    again = add(user, branch)
    assert (again.name, again.key, again.colour_slot) == ("Digit", "classification-2", 1)


def test_a_name_may_be_any_line_of_text(user: Any, branch: Branch, dataset: Dataset) -> None:
    task = add(user, branch, name="<img src=x onerror=alert(1)>")
    assert (task.name, task.key) == ("<img src=x onerror=alert(1)>", "img-srcx-onerroralert1")
    assert add(user, branch, name="数字").key == "task"


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        (
            {"dataset": "nowhere"},
            "dataset",
            "'nowhere' is not a dataset of this site; known: handwritten-digits, plain, rgb",
        ),
        (
            {"dataset": "plain"},
            "dataset",
            "'plain' has no class target, and ClassificationTask needs one; it has no targets",
        ),
        ({"dataset": "rgb"}, "dataset", "has images of 3 x 32 x 32; this model reads 1 x 32 x 32"),
        ({"task_class": "MagicTask"}, "task_class", "MagicTask"),
        ({"weight": -1}, "weight", "-1 is refused: the least allowed is 0"),
        ({"weight": "heavy"}, "weight", "'heavy' is refused"),
        ({"weight": float("inf")}, "weight", "inf is refused"),
        ({"latent_slice": (10, 20)}, "latent_slice", "10:20 goes beyond the 16 latent dimensions"),
        ({"latent_slice": (4, 4)}, "latent_slice", "4:4 holds no dimension"),
        ({"latent_slice": (-2, 4)}, "latent_slice", "-2:4 holds no dimension"),
        ({"latent_slice": (4, 8)}, "latent_slice", "4:8 overlaps only a part of factor 'digit' 0:6"),
        (
            {"latent_slice": (1, 2), "factor": "digit"},
            "latent_slice",
            "give latent_slice or factor, not both",
        ),
        (
            {"task_class": "ReconstructionTask", "factor": "digit"},
            "factor",
            "reads the whole latent; leave factor empty",
        ),
        ({"factor": "colour"}, "factor", "'colour' is not a factor group of this model; it has: digit, free"),
        ({"params": {"target_name": "slant"}}, "params.target_name", "'slant' is not a class target"),
        ({"params": {"depth": 3}}, "params.depth", "unknown parameter 'depth'; known: target_name"),
        ({"name": "x" * 81}, "name", "has 81 characters; at most 80"),
        ({"name": "Taken"}, "name", "'Taken' is already the name of a task of this branch"),
        ({"name": "a\nb"}, "name", "characters that cannot be shown"),
    ],
)
def test_bad_input_names_its_field_and_attaches_nothing(
    *, user, branch, dataset, change, field, sentence
) -> None:
    rows.make_dataset("plain", targets=[])
    rows.make_dataset("rgb", channels=3)
    rows.make_task(branch, dataset, "taken", name="Taken")
    rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    with pytest.raises(InvalidInput) as caught:
        add(user, branch, **change)
    assert list(caught.value.fields) == [field]
    assert sentence in caught.value.fields[field][0]
    assert Task.objects.count() == 1
    assert not JobEvent.objects.exists()
    assert not Topic.objects.exists()


def test_a_kl_task_needs_a_model_with_a_posterior(user: Any, branch: Branch, dataset: Dataset) -> None:
    branch.experiment.model_spec["architecture"] = "Autoencoder"
    with pytest.raises(TaskError, match="KLDivergenceTask needs a model with a posterior"):
        add(user, branch, task_class="KLDivergenceTask")
    branch.experiment.model_spec["architecture"] = "FactorSlotAutoencoder"
    assert add(user, branch, task_class="KLDivergenceTask").name == "KL divergence"


@pytest.mark.parametrize("latent_slice", [(0, 6), (1, 4), (0, 16), (6, 16)])
def test_a_slice_within_or_around_factors_is_right(user, branch, dataset, latent_slice) -> None:
    assert add(user, branch, latent_slice=latent_slice)


def test_a_running_job_is_told_what_changes(user: Any, branch: Branch, task: Task) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    rows.make_job(branch, state=JobState.SUCCEEDED)
    added = add(user, branch)
    tasks.set_weight(actor=user, task=task, weight=0.25)
    tasks.set_enabled(actor=user, task=task, enabled=False)
    tasks.remove_task(actor=user, task=task)
    tasks.restore_task(actor=user, task=task)
    events = list(JobEvent.objects.order_by("id"))
    assert {event.job for event in events} == {job}
    assert [(event.kind, event.status, event.actor) for event in events] == [
        (kind, "PENDING", user)
        for kind in ("add_task", "set_weight", "set_enabled", "remove_task", "add_task")
    ]
    assert events[0].payload["task"]["key"] == added.key
    assert events[0].payload["dataset"]["content_hash"] == added.dataset.content_hash
    assert [event.payload for event in events[1:4]] == [
        {"task": "reconstruction", "weight": 0.25},
        {"task": "reconstruction", "enabled": False},
        {"task": "reconstruction"},
    ]
    assert Topic.objects.get(name=f"tasks:{branch.pk}").version == 5


def test_a_bad_weight_changes_neither_task_nor_job(user: Any, branch: Branch, task: Task) -> None:
    rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    with pytest.raises(InvalidInput) as caught:
        tasks.set_weight(actor=user, task=task, weight=-0.5)
    assert list(caught.value.fields) == ["weight"]
    assert Task.objects.get().weight == 1.0
    assert not JobEvent.objects.exists()


def test_the_last_task_of_a_running_job_stays_on(user: Any, branch: Branch, task: Task) -> None:
    tasks.set_enabled(actor=user, task=task, enabled=False)
    tasks.set_enabled(actor=user, task=task, enabled=True)
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    last = f"last task that job {job.pk} trains"
    with pytest.raises(WrongState, match=last):
        tasks.set_enabled(actor=user, task=task, enabled=False)
    with pytest.raises(WrongState, match=last):
        tasks.remove_task(actor=user, task=task)
    row = Task.objects.get()
    assert (row.enabled, row.removed_at) == (True, None)


def test_a_weight_asked_of_a_job_is_that_of_its_branch_too(user: Any, branch: Branch, task: Task) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    event = jobs.request_control(
        actor=user, job=job, kind="set_weight", payload={"task": "reconstruction", "weight": 3}
    )
    assert (event.kind, event.payload) == ("set_weight", {"task": "reconstruction", "weight": 3.0})
    assert Task.objects.get().weight == 3


@pytest.mark.parametrize(
    ("kind", "payload", "field"),
    [
        ("set_weight", {"task": "nothing", "weight": 1}, "task"),
        ("set_weight", {"task": "reconstruction"}, "weight"),
        ("set_weight", {"task": "reconstruction", "weight": -1}, "weight"),
        ("set_enabled", {"task": "reconstruction", "enabled": "maybe"}, "enabled"),
    ],
)
def test_bad_steering_names_its_field(*, user, branch, task, kind, payload, field) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    with pytest.raises(InvalidInput) as caught:
        jobs.request_control(actor=user, job=job, kind=kind, payload=payload)
    assert list(caught.value.fields) == [field]
    assert not JobEvent.objects.exists()
