"""A test that writes elsewhere than under a temporary folder fails, and so does a session that leaves something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HARMLESS = """
import os, pathlib, subprocess, sys

def other(code):
    subprocess.run([sys.executable, "-c", code], check=True)

def test_under_a_temporary_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("x")
    (tmp_path / "a").rename(tmp_path / "c")

def test_into_nothing():
    pathlib.Path("/dev/null").write_text("x")

def test_a_folder_that_is_there():
    pathlib.Path("kept.txt").absolute().parent.mkdir(exist_ok=True)

def test_a_home_of_its_own():
    other("import pathlib; (pathlib.Path.home() / 'x').touch()")

def test_caches():
    other("import os; os.makedirs('.mypy_cache/x'); os.mkdir('test-results'); os.mkdir('var')")
"""
WRITING = """
import os, pathlib

def test_new():
    pathlib.Path("new.txt").write_text("x")

def test_mode():
    pathlib.Path("kept.txt").chmod(0o644)

def test_remove():
    os.remove("new.txt")

def test_the_tree_itself():
    os.utime(".")

def test_a_folder_above_it():
    os.utime("..")

def test_one_that_is_refused_has_tried():
    try:
        os.mkdir("/there/is/no/such/folder")
    except OSError:
        pass
"""
LEAVING = """
import subprocess, sys

def test_another_process():
    code = "import os; open('new.txt', 'w'); os.mkdir('new'); os.remove('gone.txt'); open('kept.txt', 'w').write('!')"
    subprocess.run([sys.executable, "-c", code], check=True)
"""


def session(folder: Path, tests: str, *, contents: bool = True) -> tuple[int, str]:
    """Return status and output of a session of these tests in a tree of its own."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "kept.txt").touch()
    (folder / "gone.txt").touch()
    (folder / "test_it.py").write_text(tests)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("ACC_TEST_STRICTLY", None)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "tests.untouched",
            "-p",
            "no:cacheprovider",
            str(folder),
        ],
        cwd=folder,
        env=environment | ({"ACC_TEST_STRICTLY": "1"} if contents else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_test_may_write_under_temporary_folders_and_into_caches(tmp_path: Path):
    status, output = session(tmp_path, HARMLESS)
    assert status == 0, output


def test_what_a_test_itself_writes_elsewhere_fails_it(tmp_path: Path):
    status, output = session(tmp_path, WRITING)
    assert status == 1
    assert "5 error" in output, output
    assert "INTERNALERROR" not in output
    for told in (
        f"os.utime {tmp_path}",
        f"open {tmp_path}/new.txt",
        f"os.chmod {tmp_path}/kept.txt",
        f"os.remove {tmp_path}/new.txt",
        "os.mkdir /there/is/no/such/folder",
    ):
        assert told in output


def test_what_other_processes_leave_fails_the_session(tmp_path: Path):
    status, output = session(tmp_path, LEAVING)
    assert "1 passed" in output
    assert status == 1
    for told in ("new.txt appeared", "new appeared", "gone.txt vanished", "kept.txt was changed"):
        assert f"{tmp_path}/{told}" in output


def test_by_hand_it_is_told_alone_since_somebody_may_work_on_the_tree_meanwhile(tmp_path: Path):
    status, output = session(tmp_path, LEAVING, contents=False)
    assert status == 0, output
    assert "new.txt appeared" in output
    assert "kept.txt was changed" not in output
