"""Starts a module as ``python -m`` does, by a fork where this process has imported already what that needs.

A fork begins at once and shares what it only reads, so a family of processes holds torch once. It is set right to be
as one that was started anew: of its own session, with default signals, with no descriptor but those it was given, and
with the arguments, environment and title of what it runs.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
ROOM = "ACC_ROOM"
"""A variable without meaning, in whose place ``show`` writes another one where the kernel keeps the environment."""
ROOM_BYTES = 4_500  # of a mark that names a folder, whose path may have 4,096
LOOK_SECONDS = 0.01

_libc = ctypes.CDLL(None, use_errno=True)
_warm = False
_is_fork = False


def warm() -> None:
    """Say that this process has imported all that it is to fork: from now on ``start`` forks where it can."""
    global _warm  # noqa: PLW0603 - it is about this process
    _warm = True


def possible() -> bool:
    """Return whether ``start`` forks: this process, or one that it is a fork of, is warm, and it has one thread."""
    return _warm and len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - counts


def is_fork() -> bool:
    return _is_fork


class Fork:
    """A fork of this process, asked as a ``Popen`` is, from any thread; returncode: once it was seen to have ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        with self._lock:
            return self._look()

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended; raises ``subprocess.TimeoutExpired`` if it has not after ``timeout`` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired([f"process {self.pid}"], timeout or 0.0)
            time.sleep(LOOK_SECONDS)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended: its id may be another's as soon as that was seen."""
        with self._lock:
            if self._look() is None:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self) -> int | None:
        if self.returncode is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def start(
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: int | None = None,
    stdout: int | None = None,
    keep: Collection[int] = (),
) -> Fork | subprocess.Popen[bytes]:
    """Start ``python -m module arguments`` in a session of its own, by a fork if that is ``possible``.

    environment: all of it. stdin: a descriptor, none: nothing to read. stdout: a descriptor, none: this process's.
    keep: descriptors that it is given under the same number.
    """
    if possible():
        return fork(module, arguments, environment=environment, stdin=stdin, stdout=stdout, keep=keep)
    return subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=stdout,
        env=environment,
        pass_fds=tuple(keep),
        start_new_session=True,
    )


def fork(
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    keep: Collection[int] = (),
    death_signal: int = 0,
) -> Fork:
    """Start ``module`` in a fork of this process, whatever it has imported; see ``start``.

    death_signal: what the kernel sends it when the thread that called this is gone; 0 for nothing.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # One that arrives before the fork has taken its handlers back waits until then.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _set_right(parent, (stdin, stdout, stderr), keep, death_signal)
                _take_over(module, arguments, environment)
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                status = _run(module)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return Fork(pid)


def show(name: str, value: str) -> None:
    """Have the kernel tell others that this process was started with ``name`` in its environment, and its forks too.

    What a fork puts into ``os.environ`` only those see that it starts; ``/proc`` goes on showing what the first process
    of the family was started with. Does nothing in a process that is no fork. Raises RuntimeError if there is no room.
    """
    if not _is_fork:
        return
    shown = Path("/proc/self/environ").read_bytes()
    begin = next((at for at in _entries(shown) if shown.startswith(f"{ROOM}=".encode(), at)), -1)
    room = shown.find(b"\0", begin) - begin
    entry = f"{name}={value}".encode()
    if begin < 0 or len(entry) > room:
        raise RuntimeError(f"no room to show {name} in this process's environment; {ROOM} gives it")
    first = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[47])  # env_start, see proc(5)
    ctypes.memmove(first + begin, entry.ljust(room, b"\0"), room)


def _entries(shown: bytes) -> Collection[int]:
    begins, at = [0], -1
    while (at := shown.find(b"\0", at + 1)) >= 0:
        begins.append(at + 1)
    return begins


def _set_right(
    parent: int, streams: tuple[int | None, int | None, int | None], keep: Collection[int], death_signal: int
) -> None:
    """Give back what a new program would not have had of its parent."""
    global _is_fork  # noqa: PLW0603 - it is about this process
    _is_fork = True
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    if death_signal:
        _libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    stdin, *written = streams
    nothing = os.open(os.devnull, os.O_RDONLY) if stdin is None else stdin
    for standard, given in enumerate([nothing, *written]):
        if given is not None:
            os.dup2(given, standard)
    # What is open, not what may be: the limit may be a thousand million, or have been lowered since.
    for descriptor in {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, *keep}:  # noqa: PTH208 - numbers
        with suppress(OSError):  # the one that listed them
            os.close(descriptor)
    for descriptor in keep:
        os.set_inheritable(descriptor, False)


def _take_over(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Be what runs ``module``: its arguments, its environment, its title, random numbers of its own."""
    from setproctitle import setproctitle

    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    setproctitle(" ".join([sys.executable, "-m", *sys.argv]))
    numpy = sys.modules.get("numpy")
    if numpy is not None:  # Python sees to its own generator
        numpy.random.seed()


def _run(module: str) -> int:
    """Run ``main`` of a module to its end, as the interpreter does with a program, and return its exit status."""
    status = 0
    try:
        status = importlib.import_module(module).main() or 0
    except SystemExit as end:
        status = _status_of(end)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status


def _status_of(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1
