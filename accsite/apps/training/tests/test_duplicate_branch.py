"""A duplicate of a branch has its tasks and settings, begins where it began, and has none of its work."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from acc.errors import InvalidInput
from accsite.apps.audit.models import AuditEntry
from accsite.apps.datasets.models import Dataset
from accsite.apps.training.models import Branch, CheckpointKind
from accsite.apps.training.services import experiments
from accsite.apps.training.services.duplication import duplicate_branch, name_of_copy
from accsite.apps.training.tests import rows

TOLD = ("key", "name", "task_class", "weight", "enabled", "factor", "params", "position", "colour_slot")


def duplicate(branch: Branch, name: str | None = None) -> Branch:
    return duplicate_branch(actor=None, branch=branch, name=name)


def tasks_of(branch: Branch) -> list[dict[str, Any]]:
    return list(branch.tasks.filter(removed_at=None).values(*TOLD, "dataset", "latent_start", "latent_end"))


def test_tasks_and_settings_are_copied_as_they_are_now(branch: Branch, dataset: Dataset) -> None:
    rows.make_task(branch, dataset, "digit", weight=0.25, enabled=False, factor="digit", position=2)
    rows.make_task(branch, dataset, "slice", latent_start=0, latent_end=6, position=1, colour_slot=5)
    rows.make_task(branch, dataset, "gone", removed_at="2026-01-01T00:00Z")
    Branch.objects.filter(pk=branch.pk).update(auto_evaluate="steps", evaluate_every=500)
    made = duplicate(branch, "again")
    assert (made.name, made.experiment_id) == ("again", branch.experiment_id)
    assert tasks_of(made) == tasks_of(branch)
    assert len(tasks_of(made)) == 2
    assert (made.auto_evaluate, made.evaluate_every) == ("steps", 500)
    made.tasks.update(weight=9)
    assert {task["weight"] for task in tasks_of(branch)} == {0.25, 1.0}


def test_it_begins_where_the_branch_began_and_has_none_of_its_work(branch: Branch) -> None:
    assert duplicate(branch).head is None  # the model as its seed makes it
    root = rows.make_checkpoint(branch, rows.make_job(branch), step=10)
    side = experiments.create_branch(
        actor=None, experiment=branch.experiment, name="side", from_checkpoint=root, tasks="none"
    )
    side.head = rows.make_checkpoint(side, rows.make_job(side), parent=root, step=20)
    side.save()
    made = duplicate(side)
    assert made.head == made.forked_from == root
    assert not made.jobs.exists()
    assert not made.checkpoints.exists()


@pytest.mark.parametrize("kind", [CheckpointKind.IMPORTED, CheckpointKind.EXPANDED])
def test_what_a_branch_was_given_to_begin_with_is_where_its_copy_begins(branch: Branch, kind: str) -> None:
    given = rows.make_checkpoint(branch, kind=kind)
    rows.make_checkpoint(branch, rows.make_job(branch), parent=given, step=20)
    assert duplicate(branch).head == given


def test_a_task_that_reads_what_the_model_had_not_yet_is_refused_by_name(
    branch: Branch, dataset: Dataset
) -> None:
    rows.make_task(branch, dataset, "wide", latent_start=0, latent_end=20)
    with pytest.raises(InvalidInput, match="task 'Wide' of digits/main does not fit its model"):
        duplicate(branch)
    assert Branch.objects.count() == 1


def test_a_copy_has_a_free_name_unless_it_is_given_one(branch: Branch) -> None:
    assert [duplicate(branch).name for _ in range(3)] == ["main copy", "main copy 2", "main copy 3"]
    with pytest.raises(InvalidInput, match="name: 'Main' is already the name of a branch of"):
        duplicate(branch, "Main")
    Branch.objects.filter(pk=branch.pk).update(name="m" * 80)
    branch.refresh_from_db()
    assert len(name_of_copy(branch)) <= 80


@pytest.mark.parametrize("how", ["page", "panel", "api", "command", "admin"])
def test_it_is_asked_on_every_face_and_written_into_the_log_under_one_name(
    how: str, branch: Branch, admin_client: Client
) -> None:
    page = reverse("training:branch-duplicate", args=[branch.pk])
    list_ = reverse("admin:training_branch_changelist")
    asked, chosen = {"name": "again"}, {"action": "duplicate", "_selected_action": branch.pk}
    if how == "page":
        answer = admin_client.post(page, asked)
        assert answer["Location"] == "/w/digits/again/"
        assert "Branch again has the same tasks" in admin_client.get(answer["Location"]).text
    elif how == "panel":
        answer = admin_client.post(page, asked, headers={"HX-Request": "true"})
        assert '<a href="/w/digits/again/">Open</a>' in answer.text
    elif how == "api":
        answer = admin_client.post(f"/api/v1/branches/{branch.pk}/duplicate/", asked, "application/json")
        assert answer.status_code == 201
        assert answer.json()["name"] == "again"
        assert admin_client.get(answer["Location"]).json() == answer.json()
    elif how == "command":
        call_command("branches", "duplicate", "digits/main", "--name", "again", "--user", "admin")
    else:
        assert 'name="name" value="main copy"' in admin_client.post(list_, chosen).text
        assert admin_client.post(list_, {**chosen, **asked, "asked": "1"}).status_code == 302
    assert Branch.objects.get(name="again").experiment == branch.experiment
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_name) == ("branch duplicate", "admin")
    about = {name.name for name in entry.about.all()}
    assert {f"branch:{branch.pk}", f"experiment:{branch.experiment_id}"} <= about


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_a_taken_name_is_refused_beside_its_field_with_what_was_typed(
    page: Client, branch: Branch, headers: dict[str, str]
) -> None:
    where = reverse("training:branch-duplicate", args=[branch.pk])
    refused = page.post(where, {"name": "main"}, headers=headers)
    assert refused.status_code == 422
    assert 'value="main"' in refused.text
    assert f'id="duplicate-{branch.pk}-name_error"' in refused.text
    assert "is already the name of a branch" in refused.text
