"""A pytest plugin: tests write under temporary folders only, and leave the machine as it was.

What the test process itself does is seen by an audit hook, which knows the test: it fails. What other processes that
a test starts leave behind in the working tree, in the machine's root or in the home is seen by looking before and
after: the session fails. All processes of a session get a home of their own, since what else appears in the real one
meanwhile is not theirs.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Tools keep their caches there, and git ignores them; what these hold is no matter of a test.
IGNORED = frozenset(
    {
        ".git",
        ".venv",
        "var",
        "build",
        "dist",
        "test-results",
        "__pycache__",
        ".hypothesis",
        ".import_linter_cache",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
    }
)
STRICT = "ACC_TEST_STRICTLY"
"""Set by `make test`: files are compared too, and what is not as it was fails the session, not only the root's.

By hand it is told, since somebody who tries a test may go on working on the tree meanwhile.
"""
# Event -> which of its arguments are paths that change. https://docs.python.org/3/library/audit_events.html
PATHS_OF = {
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.link": (1,),
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.utime": (0,),
}
NO_FOLDER = {"os.truncate"}
"""Their last argument is not the open folder that a path is relative to."""
NOT_GIVEN = -1
HOME_PREFIX = "acc-home-"
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Watch:
    """Tells what this process wrote where it must not, and what any process changed in the tree or the root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written: list[str] = []
        folders = {tempfile.gettempdir(), "/dev", "/proc", "/tmp", "/var/tmp", os.environ.get("ACC_HOME", "")}
        self.allowed = tuple(
            {f"{each}/" for folder in folders - {""} for each in (folder, os.path.realpath(folder))}
        )
        self.before = self.look()

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an audit event, and keep it if it changes, or tries to change, what no test may."""
        if event == "open":
            path, _, flags = arguments
            paths = (path,) if isinstance(flags, int) and flags & WRITING else ()
        elif event in PATHS_OF and (event in NO_FOLDER or arguments[-1] == NOT_GIVEN):
            paths = tuple(arguments[number] for number in PATHS_OF[event])
        else:
            return
        for given in paths:
            if not isinstance(given, str | bytes | os.PathLike):
                continue  # a file that is open already
            path = os.path.abspath(os.fsdecode(given))  # noqa: PTH100 - asked for every file that is opened
            if not self.is_allowed(path) and not self.is_so(event, path):
                self.written.append(f"{event} {path}")

    def is_allowed(self, path: str) -> bool:
        """Return whether a test may write at this absolute path."""
        inside = Path(os.path.relpath(path, self.root)).parts
        if not IGNORED.isdisjoint(inside):
            return True
        return inside[:1] == (os.pardir,) and f"{path}/".startswith(self.allowed)

    def is_so(self, event: str, path: str) -> bool:
        """Return whether nothing is changed by it: a folder is there, or is one that leads to this Python.

        PostgreSQL's wheel, started by root, runs as a user of its own, and sees to it that its files can be reached.
        """
        if event == "os.mkdir":
            return Path(path).is_dir()
        return event == "os.chmod" and Path(sys.prefix).is_relative_to(path) and Path(path).is_dir()

    def look(self) -> dict[str, object]:
        """Return path -> what tells whether it is as before, for the tree and the names in the machine's root."""
        found: dict[str, object] = dict.fromkeys(map(str, Path("/").iterdir()), "")
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if name not in IGNORED and not name.endswith(".egg-info")]
            found |= dict.fromkeys((f"{folder}/{name}" for name in folders), "")
            for path in (f"{folder}/{name}" for name in files if name not in IGNORED):
                stat = os.lstat(path) if STRICT in os.environ else None
                found[path] = stat and (stat.st_size, stat.st_mtime_ns, stat.st_mode)
        return found

    def changes(self) -> list[str]:
        """Return a line for each thing that appeared, vanished or changed since the beginning."""
        before, after = self.before, self.look()
        return sorted(
            [
                *(f"{path} appeared" for path in after.keys() - before.keys()),
                *(f"{path} vanished" for path in before.keys() - after.keys()),
                *(
                    f"{path} was changed"
                    for path in after.keys() & before.keys()
                    if after[path] != before[path]
                ),
            ]
        )


class Guard:
    """Fails the test that writes elsewhere, and the session that leaves something behind."""

    def __init__(self, config: pytest.Config) -> None:
        self.watch = Watch(config.rootpath)
        self.left: list[str] = []
        self.alone = not hasattr(config, "workerinput")  # else the process that began this one looks
        sys.addaudithook(self.watch.hear)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        """Fail a test that wrote, or tried to write, elsewhere."""
        yield
        written, self.watch.written[:] = list(self.watch.written), []
        if written:
            pytest.fail(f"a test writes under temporary folders only: {'; '.join(written)}", pytrace=False)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the session if anything is not as it was."""
        if self.alone:
            self.left = self.watch.changes()
            ours = [
                line
                for line in self.left
                if STRICT in os.environ or not line.startswith(str(self.watch.root))
            ]
            if ours and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what is not as it was."""
        if self.left:
            terminalreporter.section("the machine is not as it was before these tests", red=True)
            for line in self.left:
                terminalreporter.line(line)


def pytest_configure(config: pytest.Config) -> None:
    """Look at the machine as it is, and give everything that is started here a home of its own."""
    if not hasattr(config, "workerinput"):
        browsers = Path("~/.cache/ms-playwright").expanduser()
        os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(browsers))
        os.environ["HOME"] = tempfile.mkdtemp(prefix=HOME_PREFIX)
    config.pluginmanager.register(Guard(config), "untouched-guard")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that home."""
    if not hasattr(config, "workerinput") and Path(os.environ["HOME"]).name.startswith(HOME_PREFIX):
        shutil.rmtree(os.environ["HOME"], ignore_errors=True)
