"""Plugin files saved as fast as can be, half of them broken, while a job trains: nothing of it is lost."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest

from accsite.apps.registry.models import Plugin, PluginFile
from tests.stack import ROOT, assert_undisturbed

STEPS = 150
FILES = 4
TASK = """
from acc.api import Task

class Storm{file}(Task):
    label = "version {number}"
    def compute_loss(self, output, batch, head):
        return output.mean.square().mean()
"""
BROKEN = "\ndef broken(:\n"


def plugins(folder: Path) -> Path:
    """Return a plugin folder of its own, with all that comes with ACC."""
    shutil.copytree(ROOT / "plugins", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def save(folder: Path, file: int, number: int, *, broken: bool) -> None:
    text = TASK.format(file=file, number=number) + (BROKEN if broken else "")
    (folder / "tasks" / f"storm_{file}.py").write_text(text)


@pytest.mark.long(14)
def test_a_storm_of_saves_changes_nothing_of_a_job_and_ends_with_the_last_versions(make_stack, tmp_path):
    folder = plugins(tmp_path / "plugins")
    stack = make_stack(ACC_PLUGINS=str(folder))
    watcher = stack.watcher()
    stack.worker()
    stack.until(lambda: "watching_plugins" in watcher.output, what="the watcher")
    job = stack.submit(stack.branch("storm"), STEPS)
    ended = threading.Event()
    saved: list[int] = []

    def storm() -> None:
        while not ended.is_set():
            number = len(saved)
            save(folder, number % FILES, number, broken=number % 2 == 1)
            saved.append(number)
            time.sleep(0)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        stack.state(job, "SUCCEEDED", seconds=200)
    finally:
        ended.set()
        thread.join()
    assert len(saved) > STEPS
    assert (job.attempt, job.workers_lost, job.step) == (1, 0, STEPS)
    assert_undisturbed(job)
    assert watcher.alive

    # What is saved last is what there is: good, broken with its last good version serving, or gone.
    save(folder, 0, 1_000_000, broken=False)
    save(folder, 1, 1_000_000, broken=False)
    stack.until(lambda: label(1) == "version 1000000", what="the last good version")
    save(folder, 1, 1_000_001, broken=True)
    (folder / "tasks" / "storm_2.py").unlink()
    stack.until(lambda: PluginFile.objects.get(path="tasks/storm_1.py").error, what="the broken file")
    stack.until(lambda: not PluginFile.objects.filter(path="tasks/storm_2.py").exists(), what="the removal")
    assert label(0) == "version 1000000"
    assert label(1) == "version 1000000"
    assert not Plugin.objects.filter(name="Storm2", available=True).exists()
    assert Plugin.objects.filter(kind="task", name="ReconstructionTask", available=True).exists()


def label(file: int) -> str:
    """Return the label of a class as it can be chosen now; empty for none."""
    rows = Plugin.objects.filter(name=f"Storm{file}", available=True)
    return rows.values_list("label", flat=True).first() or ""
