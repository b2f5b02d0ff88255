"""What ``manage.py up`` says of who can sign in, and of a home that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from accsite.supervisor.management.commands.up import nobody_yet

pytestmark = pytest.mark.one_database

ROOT = Path(__file__).resolve().parents[3]
UP = (sys.executable, "manage.py", "up", "--port", "0")
# A home on a disk of its own that is mounted read-only, where this process and its children alone see it.
READ_ONLY = """
mount -t tmpfs tmpfs "$2" && cp -a "$1/." "$2" && mount -o remount,ro "$2" && shift 2 && exec "$@"
"""


@pytest.mark.django_db
def test_a_site_without_an_active_user_is_told_apart() -> None:
    assert nobody_yet()
    user = get_user_model().objects.create_user("ada", is_active=False)
    assert nobody_yet()
    user.is_active = True
    user.save()
    assert not nobody_yet()


def refused(home: Path, *before: str) -> str:
    """Return what `up` says on a home where it cannot run."""
    suite = {"DJANGO_SETTINGS_MODULE", "REDIS_URL", "DATABASE_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in suite}
    done = subprocess.run(
        [*before, *UP],
        cwd=ROOT,
        env={**environment, "ACC_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


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
        pytest.skip(f"this machine lets nobody mount a disk: {done.stderr.strip()}")


@pytest.mark.parametrize("kept", [(), ("secret_key",), ("secret_key", "run", "blobs")])
def test_a_home_on_a_read_only_disk_is_told_in_a_sentence(
    may_mount: None, tmp_path: Path, kept: tuple[str, ...]
) -> None:
    before, home = tmp_path / "before", tmp_path / "home"
    before.mkdir(mode=0o700)
    home.mkdir()
    for name in kept:
        if name == "secret_key":
            (before / name).write_text("s" * 64)
        else:
            (before / name).mkdir(mode=0o700)
    said = refused(home, "unshare", "-rm", "sh", "-ec", READ_ONLY, "sh", str(before), str(home))
    assert str(home) in said
    assert "Read-only file system" in said


def test_a_home_that_cannot_be_made_is_told_in_a_sentence() -> None:
    assert "'/proc/acc'" in refused(Path("/proc/acc"))
