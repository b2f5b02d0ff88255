"""`manage.py verify all` holds on a running platform, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Site
from tests.stack import ROOT, Stack

pytestmark = pytest.mark.timeout(600)
MILESTONES = ["m2", "m3", "m4", "m5", "m6"]


@pytest.fixture(scope="module")
def stack(site: Site) -> Stack:
    """Return a platform with all its processes, as ``manage.py up`` runs them, and nothing left to do."""
    from accsite.apps.jobs.models import Job

    site.stack.environment["ACC_PUBLIC_URL"] = site.url
    site.stack.until(lambda: not Job.objects.active().exists(), what="the jobs of other tests to end")
    return site.stack


def verify(stack: Stack, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    done = subprocess.run(
        [sys.executable, "manage.py", "verify", "--json", *arguments],
        cwd=ROOT,
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stdout + done.stderr


def left_behind() -> dict[str, Any]:
    """Return what there is on the site now."""
    from accsite.apps.datasets.models import Dataset
    from accsite.apps.evaluation.models import Artifact
    from accsite.apps.jobs.models import Job
    from accsite.apps.registry.models import Plugin, PluginFile
    from accsite.apps.training.models import Checkpoint, Experiment, LossBlock

    counted = (Experiment, Job, LossBlock, Artifact, Plugin, PluginFile)
    counts: dict[str, Any] = {model.__name__: model._default_manager.count() for model in counted}
    return {
        **counts,
        "Checkpoint": Checkpoint.everything.count(),
        "Dataset": sorted(Dataset.every.values_list("slug", flat=True)),
    }


def files(stack: Stack, plugins: Path) -> set[str]:
    """Return the stored files and the plugin files."""
    found = [*(stack.home / "blobs").rglob("*"), *plugins.rglob("*.py")]
    return {str(path) for path in found if path.is_file()}


@pytest.mark.long(33)
def test_every_milestone_holds_and_nothing_is_left(stack: Stack, plugins: Path) -> None:
    before, stored = left_behind(), files(stack, plugins)
    status, steps, output = verify(stack, "all")
    assert [step for step in steps if not step["ok"]] == [], output
    assert status == 0, output
    assert list(dict.fromkeys(step["milestone"] for step in steps)) == ["site", *MILESTONES]
    done = [(step["milestone"], step["name"]) for step in steps if step["milestone"] != "site"]
    assert done == [(line["milestone"], line["promise"]) for line in verify(stack, "--list")[1]]
    skipped = {step["name"]: step["text"] for step in steps if step["skipped"]}
    assert not skipped or list(skipped) == ["two ranks train it as one process does"], (
        "a runner may have one core"
    )
    assert left_behind() == before
    assert files(stack, plugins) == stored


def test_a_milestone_that_fails_is_told_and_cleaned_up_after(stack: Stack, plugins: Path) -> None:
    before, stored = left_behind(), files(stack, plugins)
    file = plugins / "tasks" / "classification.py"
    text = file.read_text()
    try:
        file.write_text(text.replace("class ClassificationTask", "class SomethingElse"))
        status, steps, output = verify(stack, "m2")
    finally:
        file.write_text(text)
    failed = [step for step in steps if not step["ok"]]
    assert status == 1, output
    assert [step["milestone"] for step in failed] == ["m2"], output
    assert "ClassificationTask" in failed[0]["text"]
    assert steps[-1]["ok"], output
    stack.until(lambda: left_behind() == {**before, "Plugin": before["Plugin"] + 1}, what="the plugins")
    assert files(stack, plugins) == stored


def test_an_unknown_milestone_is_refused(stack: Stack) -> None:
    status, steps, output = verify(stack, "m9")
    assert status == 2
    assert steps == []
    assert "m9" in output
