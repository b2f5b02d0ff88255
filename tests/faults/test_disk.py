"""A disk that is full when a checkpoint is due: training goes on, and the last one is written once there is room."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from accsite.apps.jobs.models import JobEvent
from tests.faults.plugins import PACE, paced
from tests.stack import assert_undisturbed, final

# A worker whose folders are disks of their own, as small as told: mounted where only it and its children see them.
MOUNTED = """
import os, sys
size, folders, command = sys.argv[1], sys.argv[2].split(":"), sys.argv[3:]
mounts = " && ".join(f"mount -t tmpfs -o size={size} tmpfs '{folder}'" for folder in folders)
os.execvp("unshare", ["unshare", "-rm", "sh", "-c", f'{mounts} && exec "$@"', "sh", sys.executable, *command])
"""
BYTES = 8 * 2**20
pytestmark = pytest.mark.slow


class Disk:
    """A folder as a worker sees it, on a small disk of its own."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.ballast = Path(f"/proc/{pid}/root{folder}") / "ballast"

    def fill(self) -> None:
        """Leave no room for another byte."""
        with suppress(OSError), self.ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        assert shutil.disk_usage(self.ballast.parent).free == 0

    def clear(self) -> None:
        """Make room."""
        self.ballast.unlink()


@pytest.fixture
def may_mount() -> None:
    """Skip where nobody but the administrator may mount a disk."""
    done = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"this machine lets nobody mount a small disk: {done.stderr.strip()}")


@pytest.mark.parametrize("full", ["scratch", "checkpoints"])
def test_with_a_full_disk_training_goes_on_and_the_last_checkpoint_is_written_once_there_is_room(
    may_mount, stack, full
):
    folder = stack.home / "blobs" / full
    folder.mkdir(parents=True, exist_ok=True)
    launch = ("-m", "workers.launch", "--queues", "train", "--device", "cpu", "--name", "train-1")
    worker = stack.start("train-1", "-c", MOUNTED, str(BYTES), str(folder), *launch, **PACE)
    stack.until(lambda: "worker_serving" in worker.output, what="the worker")
    disk = Disk(worker.popen.pid, folder)
    job = stack.submit(paced(stack.branch()), 90, checkpoint_every_steps=30)
    stack.until(lambda: final(job) is not None, what="the first checkpoint")

    disk.fill()
    told = stack.until(
        lambda: JobEvent.objects.filter(job=job, kind="alarm", payload__alarm="autosave").first(),
        what="the alarm",
    )
    assert told.message == (
        "the checkpoint at step 60 could not be written: the disk is full; training goes on, the one before is kept"
    )
    stack.step(job, 90)
    stack.until(lambda: "checkpoint_not_written" in worker.output, what="the last checkpoint to be refused")
    assert final(job).job_step == 30
    disk.clear()

    stack.state(job, "SUCCEEDED")
    assert (job.attempt, final(job).job_step) == (1, 90)
    stored = Path(f"/proc/{worker.popen.pid}/root{stack.home / 'blobs' / final(job).file}")
    assert stored.stat().st_size > 0
    assert_undisturbed(job)
    left = Path(f"/proc/{worker.popen.pid}/root{stack.home / 'blobs' / 'scratch'}").glob("*job*")
    assert list(left) == []
