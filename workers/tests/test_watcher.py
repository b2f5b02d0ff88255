"""Save a plugin file, however an editor does it, and its row is there; break it, and the row says why."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from acc.plugins.checker import Checker
from accsite.apps.registry.models import Plugin, PluginFile
from benchmarks.editors import WAYS
from workers.plugins.watch import Watcher
from workers.watcher import sync_once

pytestmark = pytest.mark.django_db(transaction=True)

TASK = """
from acc.api import Task

class {name}(Task):
    def compute_loss(self, output, batch, head):
        return output.mean.square().mean()  # {number}
"""


def source(name: str = "Dummy", number: int = 0) -> str:
    return TASK.format(name=name, number=number)


def names() -> set[str]:
    return set(Plugin.objects.filter(available=True, built_in=False).values_list("name", flat=True))


def served(name: str) -> bool:
    return names() == {name}


def error() -> str:
    return "; ".join(PluginFile.objects.exclude(error="").values_list("error", flat=True))


def until(condition: Callable[[], Any], seconds: float = 20.0) -> float:
    """Wait for a condition and return how long it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            pytest.fail(f"not so after {seconds:g} s; classes {names()}, errors {error()!r}")
        time.sleep(0.005)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    one = Checker(limit_seconds=3.0)
    one.wait_until_ready()
    yield one
    one.close()


@pytest.fixture
def watched(tmp_path: Path, transactional_db: None, checker: Checker) -> Iterator[Path]:
    """Return the folder of tasks that a real watcher looks after."""
    watcher = Watcher(tmp_path / "plugins", checker)

    def run() -> None:
        try:
            watcher.run()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: Plugin.objects.filter(built_in=True).count() == 3, 60)
    yield tmp_path / "plugins" / "tasks"
    watcher.stop()
    thread.join(30)
    assert not thread.is_alive()


def test_a_file_is_served_within_a_moment_of_its_save_however_it_is_saved(watched: Path) -> None:
    path = watched / "dummy_task.py"
    took: list[float] = []
    for number, save in enumerate([*WAYS.values()] * 5):
        save(path, source(f"Dummy{number}"))
        took.append(until(partial(served, f"Dummy{number}"), 5))
    sys.stdout.write(f"save to row: median {statistics.median(took):.3f} s, most {max(took):.3f} s\n")
    assert statistics.median(took) < 1.0


def test_a_file_that_breaks_serves_its_last_good_version_until_it_is_mended(watched: Path) -> None:
    path = watched / "dummy_task.py"
    path.write_text(source())
    until(lambda: names() == {"Dummy"})
    good = Plugin.objects.get(name="Dummy").source_id
    path.write_text("from acc.api import Task\nclass Dummy(Task)\n")
    until(error)
    file = PluginFile.objects.get()
    assert "syntax error" in file.error
    assert (file.path, file.error_line) == ("tasks/dummy_task.py", 2)
    assert ">    2 | class Dummy(Task)" in file.error_context
    assert Plugin.objects.get(name="Dummy").source_id == good
    assert names() == {"Dummy"}
    path.write_text(source(number=2))
    until(lambda: not error() and Plugin.objects.get(name="Dummy").source_id != good)


def test_a_deleted_and_a_renamed_file_and_class_are_followed(watched: Path) -> None:
    path = watched / "dummy_task.py"
    path.write_text(source("One"))
    until(lambda: names() == {"One"})
    path.write_text(source("Two"))
    until(lambda: names() == {"Two"})
    path.rename(watched / "moved.py")
    until(lambda: Plugin.objects.get(name="Two").path == "tasks/moved.py" and names() == {"Two"})
    (watched / "moved.py").unlink()
    until(lambda: names() == set())
    assert Plugin.objects.filter(available=False).count() == 2


def test_a_file_put_back_with_an_older_time_stamp_is_seen(watched: Path) -> None:
    path = watched / "dummy_task.py"
    path.write_text(source(number=1))
    until(lambda: names() == {"Dummy"})
    first = Plugin.objects.get(name="Dummy").source_id
    stat = path.stat()
    path.write_text(source(number=2))  # of the same size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    until(lambda: Plugin.objects.get(name="Dummy").source_id != first)
    path.write_text(source(number=1))
    os.utime(path, ns=(1, 1))
    until(lambda: Plugin.objects.get(name="Dummy").source_id == first)


def test_what_editors_leave_about_is_no_plugin(watched: Path) -> None:
    (watched / ".#dummy.py").symlink_to("ann@host.1234:5678")
    (watched / "dangling.py").symlink_to("nowhere.py")
    (watched / "dummy.py.swp").write_bytes(b"\0\0")
    (watched / "folder.py").mkdir()
    (watched / "4913").write_text("")
    (watched / "fine.py").write_text(source("Fine"))
    until(lambda: names() == {"Fine"})
    assert list(PluginFile.objects.values_list("path", flat=True)) == ["tasks/fine.py"]


def test_two_classes_of_one_name_are_told_and_the_second_comes_when_the_first_goes(watched: Path) -> None:
    (watched / "a.py").write_text(source("Same"))
    until(lambda: names() == {"Same"})
    (watched / "b.py").write_text(source("Same", 2))
    until(error)
    assert error() == "class Same is already defined in tasks/a.py; give one of them another name"
    (watched / "a.py").unlink()
    until(lambda: not error() and Plugin.objects.get(name="Same").path == "tasks/b.py")


def test_a_file_that_hangs_keeps_no_other_waiting_and_is_told_with_its_line(watched: Path) -> None:
    (watched / "sleeps.py").write_text("import time\ntime.sleep(30)\n")
    time.sleep(0.2)
    (watched / "fine.py").write_text(source("Fine"))
    assert until(lambda: names() == {"Fine"}) < 3
    until(error, 15)
    file = PluginFile.objects.exclude(error="").get()
    assert "took longer than 3 s to import" in file.error
    assert (file.path, file.error_line) == ("tasks/sleeps.py", 2)


def test_saves_as_fast_as_they_come_end_with_the_last_one(watched: Path) -> None:
    path = watched / "dummy_task.py"
    for number in range(60):
        path.write_text("while True: pass" if number % 3 else source(f"Dummy{number}"))
        time.sleep(0.01)
    path.write_text(source("Last"))
    assert until(lambda: names() == {"Last"}, 15) < 5
    assert error() == ""


def test_what_it_prints_is_kept_with_the_file(watched: Path) -> None:
    (watched / "loud.py").write_text("print('hello there')\n" + source("Loud"))
    until(lambda: names() == {"Loud"})
    assert PluginFile.objects.get().output == "hello there\n"


@pytest.mark.long(6)
def test_once_tells_what_it_found_and_ends_with_1_if_a_file_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "fine.py").write_text(source("Fine"))
    assert sync_once(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "loaded   tasks/fine.py" in lines
    assert lines[-1] == f"{len(lines) - 1} loaded, 0 broken, 0 removed"
    (folder / "fine.py").unlink()
    (folder / "bad.py").write_text("import nowhere_at_all\n")
    assert sync_once(tmp_path) == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == ["removed  tasks/fine.py", "0 loaded, 1 broken, 1 removed"]
    assert (
        told.err
        == "broken   tasks/bad.py: cannot import 'nowhere_at_all': it is not installed; install it, or import what is\n"
    )
    assert names() == set()


@pytest.mark.parametrize("after_seconds", [0.7, 2.0])
def test_the_process_ends_soon_when_it_is_told_to_even_before_it_is_ready(
    tmp_path: Path, after_seconds: float
) -> None:
    environment = {**os.environ, "ACC_PLUGINS": str(tmp_path), "ACC_HOME": str(tmp_path / "home")}
    process = subprocess.Popen([sys.executable, "-m", "workers.watcher"], env=environment)
    time.sleep(after_seconds)
    process.terminate()
    began = time.monotonic()
    process.wait(20)
    assert time.monotonic() - began < 10
    assert not [each for each in Path("/proc").glob("[0-9]*/cmdline") if _serves(each, tmp_path)]


def _serves(cmdline: Path, home: Path) -> bool:
    try:
        environment, words = cmdline.with_name("environ").read_bytes(), cmdline.read_bytes()
    except OSError:  # it has ended meanwhile
        return False
    return b"check_server" in words and str(home).encode() in environment
