"""The supervisor starts in order, starts again what crashes, and stops workers before Redis."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acc.errors import AccError
from accsite.supervisor import supervisor as module
from accsite.supervisor.console import Console
from accsite.supervisor.lock import AlreadyRunning, HomeLock
from accsite.supervisor.processes import Process
from accsite.supervisor.supervisor import KeepsCrashing, Stopping, Supervisor

pytestmark = pytest.mark.one_database

ROOT = Path(__file__).resolve().parents[3]
# Writes its name when it starts and again when it is asked to stop.
POLITE = """
import os, pathlib, signal, sys, time
log, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def note(what):
    with log.open("a") as out: out.write(f"{name} {what}\\n")
def stop(*_):
    time.sleep(0.2); note("stopped"); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note("started"); print("hello from", name, flush=True)
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN); print("up", flush=True); time.sleep(60)
"""


def polite(log: Path, name: str, **more) -> Process:
    return Process(name, (sys.executable, "-c", POLITE, str(log), name), **more)


def supervise(*processes: Process, **more) -> tuple[Supervisor, io.StringIO]:
    out = io.StringIO()
    return Supervisor(processes, environment=os.environ, console=Console(out, colour=False), **more), out


@pytest.fixture(autouse=True)
def _quick_restarts(monkeypatch):
    monkeypatch.setattr(module, "FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(module, "CRASHES_ALLOWED", 3)


def test_the_first_is_ready_before_the_others_start_and_stops_after_them(tmp_path):
    log = tmp_path / "log"
    log.touch()
    supervisor, out = supervise(
        polite(log, "worker", queues=("train",)),
        first=polite(log, "redis"),
        first_is_ready=lambda: "redis started" in log.read_text(),
    )
    with supervisor:
        supervisor.start_first()
        supervisor.start()
        assert supervisor.wait_for(lambda: "worker started" in log.read_text(), seconds=10)
    lines = log.read_text().splitlines()
    assert lines == ["redis started", "worker started", "worker stopped", "redis stopped"]
    assert "worker       | hello from worker" in out.getvalue()
    assert "saved and requeued" in out.getvalue()


def test_a_first_process_that_never_gets_ready_is_an_error_and_is_stopped(tmp_path):
    supervisor, _out = supervise(first=polite(tmp_path / "log", "redis"), first_is_ready=lambda: False)
    with pytest.raises(AccError, match="redis was not ready"), supervisor:
        supervisor.start_first(seconds=0.3)
    assert supervisor.first is not None
    assert not supervisor.first.alive


def test_what_is_killed_is_started_again_and_the_console_says_so(tmp_path):
    log = tmp_path / "log"
    log.touch()
    supervisor, out = supervise(polite(log, "web"))
    with supervisor:
        supervisor.start()
        supervisor.wait_for(lambda: log.read_text().count("started") == 1, seconds=10)
        popen = supervisor.children[0].popen
        assert popen is not None
        assert popen.pid is not None
        os.kill(popen.pid, signal.SIGKILL)
        assert supervisor.wait_for(lambda: log.read_text().count("started") == 2, seconds=10)
    assert "web was killed by SIGKILL; starting it again in 0.01 s" in out.getvalue()


def test_what_crashes_at_every_start_is_given_up_with_its_name():
    supervisor, out = supervise(Process("watcher", (sys.executable, "-c", "raise SystemExit(3)")))
    with pytest.raises(KeepsCrashing, match="watcher crashed 3 times.*exited with status 3"), supervisor:
        supervisor.start()
        supervisor.pump(20)
    assert out.getvalue().count("starting it again") == 2


def test_a_process_that_ignores_the_request_is_killed_after_its_grace_period():
    supervisor, out = supervise(Process("web", (sys.executable, "-c", STUBBORN), grace_seconds=0.3))
    with supervisor:
        supervisor.start()
        supervisor.wait_for(lambda: "up" in out.getvalue(), seconds=10)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert "killing web (not gone after 0.3 s)" in out.getvalue()


def test_a_signal_interrupts_and_a_second_one_forces(monkeypatch):
    monkeypatch.setattr(module, "ONE_SIGNAL_SECONDS", 0.0)
    supervisor, out = supervise(Process("web", (sys.executable, "-c", STUBBORN), grace_seconds=30))
    with supervisor:
        supervisor.start()
        supervisor.wait_for(lambda: "up" in out.getvalue(), seconds=10)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopping):
            supervisor.pump(5)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        started = time.monotonic()
        supervisor.stop()
        signal.signal(signal.SIGALRM, previous)
    assert time.monotonic() - started < 5
    assert "killing web (asked again)" in out.getvalue()


def test_one_ctrl_c_that_arrives_twice_is_still_one(tmp_path):
    log = tmp_path / "log"
    log.touch()
    supervisor, out = supervise(polite(log, "web"))
    with supervisor:
        supervisor.start()
        supervisor.wait_for(lambda: "started" in log.read_text(), seconds=10)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopping):
            supervisor.pump(5)
    assert "killing" not in out.getvalue()
    assert "web stopped" in log.read_text()


def test_children_do_not_outlive_a_supervisor_that_is_killed(tmp_path):
    log = tmp_path / "log"
    log.touch()
    code = f"""
import os, sys
from accsite.supervisor.console import Console
from accsite.supervisor.processes import Process
from accsite.supervisor.supervisor import Supervisor
process = Process("web", (sys.executable, "-c", {POLITE!r}, {str(log)!r}, "web"))
with Supervisor([process], environment=os.environ, console=Console()) as supervisor:
    supervisor.start(); supervisor.run()
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 15
    while "started" not in log.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    while "stopped" not in log.read_text() and time.monotonic() < until:
        time.sleep(0.05)
    assert log.read_text().splitlines() == ["web started", "web stopped"]


def test_a_second_supervisor_on_the_same_home_is_told_who_holds_it(tmp_path):
    first, second = HomeLock(tmp_path / "run" / "lock"), HomeLock(tmp_path / "run" / "lock")
    first.acquire()
    first.tell("http://127.0.0.1:8000/")
    with pytest.raises(
        AlreadyRunning, match=rf"process {os.getpid()} at http://127\.0\.0\.1:8000/.*ACC_HOME"
    ):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_lines_are_coloured_only_where_somebody_looks():
    out = io.StringIO()
    Console(out).line("web", "hello")
    assert out.getvalue() == "web          | hello\n"
    Console(out, colour=True).line("web", "hello")
    assert "\x1b[" in out.getvalue()


def test_a_quiet_console_keeps_the_log_in_a_file_and_shows_stages_and_what_the_supervisor_says(tmp_path):
    out, log = io.StringIO(), tmp_path / "logs" / "platform.log"
    console = Console(out, quiet=True)
    console.log_to(log)
    console.line("web", "a request")
    console.line("supervisor", "web exited with status 1")
    console.stage("the database is up to date")
    assert "a request" not in out.getvalue()
    assert "web exited with status 1" in out.getvalue()
    assert "✓ the database is up to date" in out.getvalue()
    assert "web          | a request" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    console.show_last("web")
    assert "web          | a request" in out.getvalue()


def test_the_log_of_the_run_before_is_kept_and_none_grows_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("accsite.supervisor.console.LOG_BYTES", 200)
    log = tmp_path / "platform.log"
    log.write_text("the run before\n")
    console = Console(io.StringIO(), quiet=True)
    console.log_to(log)
    assert (tmp_path / "platform.log.1").read_text() == "the run before\n"
    for number in range(50):
        console.line("web", f"line {number}")
    assert "line 49" in log.read_text()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 600


def test_a_log_that_cannot_be_begun_anew_goes_on_in_the_old_file_and_every_line_is_still_read(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("accsite.supervisor.console.LOG_BYTES", 200)
    log = tmp_path / "platform.log"
    console = Console(io.StringIO(), quiet=True)
    console.log_to(log)
    log.rename(tmp_path / "old")
    log.mkdir()  # neither moved nor opened: what a full disk does to a new file
    (log / "full").touch()
    (tmp_path / "platform.log.1").touch()
    console.follow("web", io.BytesIO(b"".join(b"line %d\n" % number for number in range(50)))).join()
    assert "line 49" in (tmp_path / "old").read_text()
    (log / "full").unlink()
    log.rmdir()
    console.line("web", "on a new one, ü")
    assert log.read_text(encoding="utf-8") == "web          | on a new one, ü\n"


def test_what_crashes_at_every_start_shows_its_last_lines_on_a_quiet_console():
    out = io.StringIO()
    process = Process(
        "watcher", (sys.executable, "-c", "print('no such module', flush=True); raise SystemExit(3)")
    )
    quiet = Console(out, colour=False, quiet=True)
    with (
        pytest.raises(KeepsCrashing),
        Supervisor([process], environment=os.environ, console=quiet) as supervisor,
    ):
        supervisor.start()
        supervisor.pump(20)
    assert "watcher      | no such module" in out.getvalue()


def test_a_terminal_that_cannot_write_a_tick_still_gets_its_line():
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, "latin-1")
    Console(terminal, quiet=True).stage("ready")
    assert b"? ready" in raw.getvalue()
