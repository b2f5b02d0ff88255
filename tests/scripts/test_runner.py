"""The runner's last line is a plain count, and nothing that went wrong is left out of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from scripts import chromium
from scripts.test import DEFAULT, Count, count_junit, groups, postgresql, run_pytest, side_by_side
from tests.stack import PATIENCE, ROOT

# A session inside the session needs none of the suite's own set-up.
BARE = ("-c", os.devnull, "--noconftest", "-p", "no:django")
JUNIT = (
    '<testsuites><testsuite name="pytest" tests="{tests}" failures="{failures}" errors="{errors}" '
    'skipped="{skipped}"/></testsuites>'
)


def test_a_count_reads_as_a_plain_sentence():
    assert str(Count(3, 0)) == "3 passed, 0 failed"
    assert str(Count(3, 1, 2) + Count(1, 0, 0)) == "4 passed, 1 failed, 2 skipped"


def test_errors_count_as_failures(tmp_path):
    path = tmp_path / "report.xml"
    path.write_text(JUNIT.format(tests=10, failures=1, errors=2, skipped=3))
    assert count_junit(path) == Count(4, 3, 3)


@pytest.mark.parametrize("text", [None, "<testsuites><tests"])
def test_a_report_that_is_missing_or_cut_off_is_a_failure(tmp_path, text):
    path = tmp_path / "report.xml"
    if text is not None:
        path.write_text(text)
    assert count_junit(path) == Count(failed=1)


def test_a_pass_that_selects_nothing_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.test.RESULTS", tmp_path)
    (tmp_path / "test_empty.py").write_text("")
    assert run_pytest("empty", str(tmp_path / "test_empty.py"), *BARE) == Count(failed=1)


def test_a_pass_is_counted_from_what_pytest_wrote(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.test.RESULTS", tmp_path)
    path = tmp_path / "test_two.py"
    path.write_text("def test_a(): pass\ndef test_b(): assert 0\n")
    assert run_pytest("two", str(path), *BARE) == Count(1, 1)


@pytest.mark.parametrize("count", [Count(), Count(3, 0), Count(12, 1, 2)])
def test_a_count_is_read_from_the_last_line_that_a_runner_printed(count):
    assert Count.read(f"... 7 passed\n{Count(7)}\n\n{count}\n") == count


@pytest.mark.parametrize(
    "output", ["", "Traceback (most recent call last):\n", "3 passed, 0 failed\nKilled\n"]
)
def test_a_runner_that_ended_without_a_count_is_a_failure(output):
    assert Count.read(output) == Count(failed=1)


def test_only_passes_that_may_share_the_machine_run_side_by_side_and_none_is_lost():
    assert groups(DEFAULT) == [["lint"], ["unit-sqlite"], ["unit-postgresql"], ["fault", "e2e"]]
    assert groups(["fault"]) == [["fault"]]
    assert groups(["e2e", "lint", "fault"]) == [["e2e"], ["lint"], ["fault"]]
    assert groups(["fault", "fault"]) == [["fault"], ["fault"]]


def test_what_runs_side_by_side_is_counted_and_shown(tmp_path, monkeypatch, capsys):
    path = tmp_path / "runner.py"
    path.write_text(
        "import sys\nname = sys.argv[-1]\nprint('ran', name, '5 passed, 0 failed' * (name == 'e2e'), sep='\\n')\n"
    )
    monkeypatch.setattr("scripts.test.RESULTS", tmp_path)
    monkeypatch.setattr("scripts.test.RUNNER", [sys.executable, str(path)])
    counts = {name: count for name, (count, _seconds) in side_by_side(["fault", "e2e"]).items()}
    assert counts == {"fault": Count(failed=1), "e2e": Count(5)}
    printed = capsys.readouterr().out
    assert "ran\nfault" in printed
    assert "ran\ne2e" in printed


def test_a_pass_that_is_told_to_end_lets_its_tests_put_away_what_they_began(tmp_path):
    (tmp_path / "test_long.py").write_text(
        "import pathlib, time\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "def test_long():\n"
        "    try:\n"
        "        (here / 'begun').touch()\n"
        "        time.sleep(600)\n"
        "    finally:\n"
        "        (here / 'put away').touch()\n"
    )
    arguments = (str(tmp_path / "test_long.py"), *BARE)
    code = (
        "import signal, pathlib, scripts.test as it\n"
        f"it.RESULTS = pathlib.Path({str(tmp_path)!r})\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # as a shell does to what it runs in the background
        "it.end_in_order()\n"
        f"it.run_pytest('long', *{arguments!r})\n"
    )
    running = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60 * PATIENCE
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < end, "the test did not begin"
            time.sleep(0.02)
        running.terminate()
        assert running.wait(60 * PATIENCE) == 128 + signal.SIGTERM
    finally:
        running.kill()
    assert (tmp_path / "put away").exists()


def test_a_throw_away_postgresql_starts_and_leaves_nothing():
    import psycopg

    with postgresql() as url, psycopg.connect(url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_a_named_browser_wins_and_must_exist(tmp_path, monkeypatch):
    browser = tmp_path / "browser"
    browser.touch()
    monkeypatch.setenv("ACC_CHROMIUM", str(browser))
    assert chromium.find() == browser
    monkeypatch.setenv("ACC_CHROMIUM", str(tmp_path / "gone"))
    with pytest.raises(chromium.NoChromium, match="not a file"):
        chromium.find()


def test_without_any_browser_the_sentence_says_what_to_do(monkeypatch):
    monkeypatch.delenv("ACC_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(chromium, "from_debian", lambda: None)
    monkeypatch.setattr(chromium, "from_playwright", lambda: None)
    with pytest.raises(chromium.NoChromium, match="ACC_CHROMIUM"):
        chromium.ensure()
