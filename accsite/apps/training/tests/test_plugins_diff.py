"""``manage.py plugins diff`` tells which sources have changed since a checkpoint was made."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from accsite.apps.datasets.models import Dataset
from accsite.apps.registry.models import Plugin, PluginSource
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.services import jobs
from accsite.apps.training.tests import rows


def diff(*words: str) -> tuple[int, str, str]:
    """Return exit status, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("plugins", *words, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def checkpoint(user: Any, branch: Branch, dataset: Dataset, task: Any) -> Checkpoint:
    """A checkpoint of a job that trained two tasks."""
    rows.make_task(branch, dataset, "digit", task_class="ClassificationTask")
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 5})
    return rows.make_checkpoint(branch, job, spec=job.spec, tag="first")


def change(name: str, text: str) -> None:
    source = PluginSource.objects.create(sha256=rows.sha(text), path=f"{name}.py", text=text)
    Plugin.objects.filter(name=name).update(source=source, path=source.path)


def test_nothing_has_changed(checkpoint: Checkpoint) -> None:
    status, out, _ = diff("diff", str(checkpoint.pk))
    assert status == 0
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["same", "model", "FactorSlotAutoencoder"],
        ["same", "task", "ClassificationTask"],
        ["same", "task", "ReconstructionTask"],
    ]


def test_a_changed_source_is_shown_line_by_line(checkpoint: Checkpoint) -> None:
    change("ClassificationTask", "class ClassificationTask: ...\nmore = 1\n")
    status, out, _ = diff("diff", "first")
    assert status == 1
    assert "changed  task ClassificationTask" in out
    assert "\n+more = 1\n" in out
    assert "\n class ClassificationTask: ...\n" in out


def test_a_removed_class_differs(checkpoint: Checkpoint) -> None:
    Plugin.objects.filter(name="ReconstructionTask").update(available=False)
    status, out, _ = diff("--json", "diff", "first")
    found = {each["name"]: each for each in map(json.loads, out.splitlines())}
    assert (status, found["ReconstructionTask"]["status"]) == (1, "removed")
    assert (found["ReconstructionTask"]["now_sha256"], found["ReconstructionTask"]["diff"]) == ("", "")
    assert found["ClassificationTask"]["status"] == "same"


def test_a_task_attached_while_it_was_trained_counts(checkpoint: Checkpoint) -> None:
    source = Plugin.objects.get(name="RegressionTask").source_id
    late = {**checkpoint.spec["tasks"][1], "key": "slant", "task_class": "RegressionTask"}
    checkpoint.spec["tasks"].append({**late, "source_sha256": source})
    checkpoint.save()
    change("RegressionTask", "class RegressionTask:\n    pass\n")
    status, out, _ = diff("diff", "first")
    assert status == 1
    assert "changed  task RegressionTask" in out


def test_classes_of_one_file_show_its_diff_once(checkpoint: Checkpoint) -> None:
    for name in ("ClassificationTask", "ReconstructionTask"):
        both = PluginSource.objects.get_or_create(sha256="a" * 64, path="both.py", text="one = 1\n")[0]
        spec = checkpoint.spec["tasks"][0 if name == "ReconstructionTask" else 1]
        spec["source_sha256"] = both.pk
        new = PluginSource.objects.get_or_create(sha256="b" * 64, path="both.py", text="two = 2\n")[0]
        Plugin.objects.filter(name=name).update(source=new, path="both.py")
    checkpoint.save()
    status, out, _ = diff("diff", "first")
    assert (status, out.count("+two = 2")) == (1, 1)


def test_what_is_no_checkpoint_is_refused_with_status_2(checkpoint: Checkpoint, branch: Branch) -> None:
    assert diff("diff", "nothing") == (
        2,
        "",
        "error: checkpoint: 'nothing' is neither the id nor the tag of a checkpoint; "
        f"the newest are: {checkpoint.pk}\n",
    )
    rows.make_checkpoint(rows.make_branch(branch.created_by, "letters"), tag="first")
    status, _, err = diff("diff", "first")
    assert status == 2
    assert "'first' is the tag of several" in err


def test_private_checkpoints_of_others_are_not_found(checkpoint: Checkpoint, branch: Branch) -> None:
    type(branch.experiment).objects.update(visibility="private", owner=None)
    assert diff("--user", "ada", "diff", "first")[0] == 2
    assert diff("diff", "first")[0] == 0
