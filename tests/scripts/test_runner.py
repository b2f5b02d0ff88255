"""The runner's last line is a plain count, and nothing that went wrong is left out of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from scripts import chromium
from scripts.test import (
    DEFAULT,
    DIVIDED,
    MOST_AGAIN,
    NICE,
    Count,
    count_junit,
    groups,
    once_more,
    postgresql,
    run_pytest,
    side_by_side,
)
from tests.stack import PATIENCE, ROOT

# A session inside the session needs none of the suite's own set-up.
# Without the project's settings Playwright's plugin is loaded, which empties the tree's test-results.
BARE = ("-c", os.devnull, "--noconftest", "-p", "no:django", "-p", "no:playwright")
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
    assert groups(DEFAULT) == [[["unit-sqlite", "lint", "unit-postgresql"], ["fault"], ["e2e"]]]
    assert groups(["fault"]) == [[["fault"]]]
    assert groups(["e2e", "api", "fault"]) == [[["e2e"]], [["api"]], [["fault"]]]
    assert groups(["fault", "fault"]) == [[["fault"]], [["fault"]]]
    assert groups(["unit-postgresql", "lint"]) == [[["unit-postgresql", "lint"]]]


def test_what_runs_side_by_side_is_counted_and_shown(tmp_path, monkeypatch, capsys):
    path = tmp_path / "runner.py"
    path.write_text(
        "import sys, time\nname = sys.argv[-1]\ntime.sleep(name == 'fault')\n"
        "print('ran', *sys.argv[1:], sep='\\n')\nprint('5 passed, 0 failed' * (name == 'e2e'))\n"
    )
    monkeypatch.setattr("scripts.test.RESULTS", tmp_path)
    monkeypatch.setattr("scripts.test.RUNNER", [sys.executable, str(path)])
    done = side_by_side([["fault"], ["lint", "e2e"]], everything=False)
    counts = {name: count for name, (count, _seconds) in done.items()}
    assert counts == {"fault": Count(failed=1), "lint": Count(failed=1), "e2e": Count(5)}
    assert done["fault"][1] >= 1
    printed = capsys.readouterr().out
    told = [printed.index(f"ran\n--part\n{name}\n") for name in ("lint", "e2e", "fault")]
    assert told == sorted(told), "those of a lane one after the other, beside the other lane"
    side_by_side([["e2e"], ["fault"]], everything=True)
    assert "ran\n--all\n--part\ne2e\n" in capsys.readouterr().out


def test_what_only_computes_yields_to_what_waits_for_processes(tmp_path, monkeypatch, capsys):
    path = tmp_path / "runner.py"
    path.write_text("import os, sys\nprint(sys.argv[-1], 'at', os.nice(0))\n")
    monkeypatch.setattr("scripts.test.RESULTS", tmp_path)
    monkeypatch.setattr("scripts.test.RUNNER", [sys.executable, str(path)])
    side_by_side([["unit-sqlite", "lint"], ["e2e"]], everything=False)
    printed, own = capsys.readouterr().out, os.nice(0)
    assert f"e2e at {own}\n" in printed
    assert f"unit-sqlite at {min(own + NICE, 19)}\n" in printed
    assert f"lint at {min(own + NICE, 19)}\n" in printed


RUN_AGAIN = """
import sys
from pathlib import Path
from scripts import test
test.RESULTS = Path({results!r})
print(test.run_pytest("lane", {path!r}, *{bare!r}))
"""


def once_more_of(tmp_path, monkeypatch, source):
    """Run a file of tests as a pass, and what failed in it once more; return both counts and who passed alone."""
    path, runner = tmp_path / "test_lane.py", tmp_path / "runner.py"
    path.write_text(source.format(mark=str(tmp_path / "mark")))
    runner.write_text(RUN_AGAIN.format(results=str(tmp_path), path=str(path), bare=BARE))
    monkeypatch.setattr("scripts.test.RESULTS", tmp_path)
    monkeypatch.setattr("scripts.test.RUNNER", [sys.executable, str(runner)])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    first = run_pytest("lane", str(path), *BARE)
    return first, *once_more("lane", first, everything=False)


PASSES_LATER = """
from pathlib import Path
def test_first():
    mark = Path({mark!r})
    if not mark.exists():
        mark.touch()
        raise AssertionError
"""


def test_a_test_that_passes_when_it_is_run_once_more_alone_counts_as_passed_and_is_named(
    tmp_path, monkeypatch
):
    first, then, alone = once_more_of(tmp_path, monkeypatch, PASSES_LATER + "def test_other(): pass\n")
    assert (first, then) == (Count(1, 1), Count(2, 0))
    assert [each.rpartition("::")[2] for each in alone] == ["test_first"]


@pytest.mark.parametrize(
    "more",
    ["def test_b(): assert 0\n", "import nothing_of_this_name\n"],
    ids=["fails again", "cannot be read"],
)
def test_a_test_that_fails_again_is_a_failure_and_so_is_a_pass_that_failed_as_a_whole(
    tmp_path, monkeypatch, more
):
    first, then, alone = once_more_of(tmp_path, monkeypatch, PASSES_LATER + more)
    assert first.failed
    assert (then, alone) == (first, [])


def test_many_failures_are_no_accident_and_are_not_run_again(tmp_path, monkeypatch):
    many = "\n".join(f"def test_{n}(): assert 0" for n in range(MOST_AGAIN + 1))
    monkeypatch.setattr("scripts.test.subprocess.run", lambda *_, **__: pytest.fail("it was run again"))
    first, then, alone = once_more_of(tmp_path, monkeypatch, many)
    assert (then, alone) == (first, [])


@pytest.mark.parametrize("everything", [False, True])
def test_what_is_marked_long_is_left_out_unless_everything_is_asked_for(monkeypatch, everything):
    ran: dict[str, tuple[str, ...]] = {}

    def note(name: str, *arguments: str, env: object = None) -> Count:
        ran[name] = arguments
        return Count(1)

    monkeypatch.setattr("scripts.test.run_pytest", note)
    monkeypatch.setattr("scripts.test.chromium.ensure", lambda: "/a/browser")
    for name, run in DIVIDED.items():
        run(everything=everything)
        expression = ran[name][ran[name].index("-m") + 1]
        assert ("not long" in expression) != everything, name
    assert ("both_databases" in " ".join(ran["unit-postgresql"])) != everything


LONG = """
import pytest, time

@pytest.mark.long({seconds})
def test_marked(): time.sleep(0.2)

def test_unmarked(): time.sleep(0.2)

def test_short(): pass
"""


def told_of(tmp_path, seconds: str) -> str:
    """Return what pytest prints of tests of which one is marked long, where a tenth of a second is too long."""
    (tmp_path / "conftest.py").write_text("import tests.durations as it\nit.LONG_SECONDS = 0.1\n")
    (tmp_path / "test_long.py").write_text(LONG.format(seconds=seconds))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
        "-p",
        "no:django",
        "-p",
        "no:playwright",
    ]
    done = subprocess.run(
        [*command, "-p", "tests.durations", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_an_unmarked_test_that_took_long_is_told_of_and_fails_nothing(tmp_path):
    told = told_of(tmp_path, "20")
    assert "3 passed" in told
    assert [line.split("::")[1] for line in told.splitlines() if " s  " in line] == ["test_unmarked"], told


def test_a_mark_that_does_not_say_how_long_is_refused(tmp_path):
    assert "long takes the seconds that were measured" in told_of(tmp_path, "")


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
