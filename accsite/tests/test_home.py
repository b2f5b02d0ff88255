"""What lies in the home is its user's alone, and a home that others may read is closed and told of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import call_command

from accsite import home
from accsite.apps.operations import doctor


def opened(folder: Path) -> Path:
    """Make what an older version left: a home that everybody may read."""
    (folder / "blobs").mkdir(parents=True)
    for name in ("acc.sqlite3", "acc.sqlite3-wal", "blobs/a"):
        (folder / name).write_text("secret")
        (folder / name).chmod(0o644)
    (folder / "link").symlink_to("/etc/passwd")
    for path in (folder, folder / "blobs"):
        path.chmod(0o755)
    return folder


def test_a_home_that_others_may_read_is_closed_at_migrate_and_the_doctor_tells(
    db: None, tmp_path: Path, settings: LazySettings
):
    settings.HOME = opened(tmp_path / "home")
    [finding] = doctor.home()
    assert (finding.state, "acc.sqlite3" in finding.text) == ("failure", True)
    assert "manage.py migrate" in finding.remedy
    call_command("migrate", verbosity=0)
    [finding] = doctor.home()
    assert finding.state == "ok"
    modes = {path.lstat().st_mode & 0o777 for path in settings.HOME.rglob("*") if not path.is_symlink()}
    assert modes == {0o600, 0o700}
    assert Path("/etc/passwd").stat().st_mode & 0o044


def test_a_database_that_lies_elsewhere_is_closed_too(tmp_path: Path):
    elsewhere = opened(tmp_path / "elsewhere")
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    assert home.open_to_others(folder, str(elsewhere / "acc.sqlite3")) == [
        elsewhere / "acc.sqlite3",
        elsewhere / "acc.sqlite3-wal",
    ]
    assert home.close(folder, str(elsewhere / "acc.sqlite3")) == []
    assert (elsewhere / "blobs" / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("module", ["accsite.settings.embedded", "accsite.settings.test"])
def test_reading_the_settings_is_what_makes_a_process_write_for_its_user_alone(module: str, tmp_path: Path):
    code = f"import os; os.umask(0o022); import {module}; open('new', 'w'); os.mkdir('folder')"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"ACC_HOME": str(tmp_path / "home"), "PYTHONPATH": ":".join(sys.path)},
        check=True,
    )
    assert home.open_to_others(tmp_path / "home") == []
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700
