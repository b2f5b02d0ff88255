"""The supervisor's side of the starter: the process that has imported once what the others need, and forks them."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from acc import forked
from accsite.supervisor.processes import Process, execute

MESSAGE_BYTES = 65_536
LOOK_SECONDS = 0.01
NEVER_STARTED = 0
"""The exit status of one that was asked to end before it was started."""


def possible() -> bool:
    """Return whether this kernel, and this Python, have a handle on a process whoever its parent is."""
    try:
        handle = os.pidfd_open(os.getpid())
        try:
            signal.pidfd_send_signal(handle, 0)
        finally:
            os.close(handle)
    except (AttributeError, OSError):
        return False
    return True


def send(end: socket.socket, message: dict[str, Any], files: Sequence[int] = ()) -> None:
    """Send one message, and descriptors with it; raises OSError when the other end is gone."""
    socket.send_fds(end, [json.dumps(message).encode()], files)


def receive(end: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message and its descriptors, or None when the other end is gone."""
    try:
        data, files, _, _ = socket.recv_fds(end, MESSAGE_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return None
    return (json.loads(data), files) if data else None


class Forked:
    """A process that the starter forks as soon as it can, asked as a ``Popen`` is.

    lost: the starter ended before it; the kernel has asked it to end, too, and nobody will learn its exit status.
    """

    def __init__(self, starter: Starter, process: Process, output: int) -> None:
        self.starter, self.process = starter, process
        self.output: int | None = output
        self.pid: int | None = None
        self.returncode: int | None = None
        self.lost = False
        self._handle: int | None = None  # the kernel's, of this process alone however long ago it ended
        self._asked_to_end = False

    def poll(self) -> int | None:
        """Return how it ended, None while it runs or is yet to be started."""
        self.starter.hear()
        if self.lost and self._is_gone():
            self.ended(-signal.SIGTERM)
        return self.returncode

    def wait(self) -> int:
        """Return how it ended, once it has; after a moment the kernel's word will do: the starter may stand still."""
        while (status := self.poll()) is None:
            gone = self._is_gone()
            time.sleep(LOOK_SECONDS)
            if gone and self.poll() is None:
                self.ended(-signal.SIGKILL)
        return status

    def terminate(self) -> None:
        """Send SIGTERM; one that is yet to be started never is."""
        self._asked_to_end = True
        if self.poll() is None and not self.starter.withdraw(self):
            self.send_signal(signal.SIGTERM)

    def give_up(self) -> None:
        """Count it as ended, although the starter has not said so; if it is started all the same, it is ended then."""
        self._asked_to_end = True
        if not self.starter.withdraw(self):
            self.ended(-signal.SIGKILL)

    def started(self, pid: int, handle: int) -> None:
        """Note its process id, and the kernel's handle on it."""
        self.pid, self._handle = pid, handle
        if self._asked_to_end:
            self.send_signal(signal.SIGTERM)

    def ended(self, status: int) -> None:
        """Note how it ended."""
        self.returncode = status
        self.let_go()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def let_go(self) -> None:
        """Close this process's copy of where its output goes."""
        if self.output is not None:
            os.close(self.output)
            self.output = None

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs: to this process alone, whoever has its id by now."""
        if self._handle is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def _is_gone(self) -> bool:
        """Return whether the kernel says that it has ended, reaped or not."""
        return self._handle is not None and bool(select.select([self._handle], [], [], 0)[0])


class Starter:
    """The starter, as the supervisor knows it over all its restarts: what it is asked, and what it tells."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._end: socket.socket | None = None
        self._is_ready = False
        self._waiting: list[Forked] = []
        self._asked: dict[int, Forked] = {}
        self._numbers = 0

    def execute(
        self, process: Process, environment: Mapping[str, str], output: int
    ) -> subprocess.Popen[bytes] | forked.Fork:
        """Start the starter itself; it imports while the caller goes on."""
        self.lose()
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        room = "." * forked.ROOM_BYTES
        with theirs:
            command = (*process.command, "--channel", str(theirs.fileno()))
            given = Process(process.name, command, files=(theirs.fileno(),), within=process.within)
            return execute(given, {**environment, forked.ROOM: room}, output)

    def fork(self, process: Process, _environment: Mapping[str, str], output: int) -> Forked:
        """Return a process that the starter forks as soon as it is ready; it has the starter's environment."""
        made = Forked(self, process, os.dup(output))
        self._waiting.append(made)
        self.hear()
        return made

    def withdraw(self, one: Forked) -> bool:
        """Return whether ``one`` was still to be asked for; then it never is."""
        if one not in self._waiting:
            return False
        self._waiting.remove(one)
        one.ended(NEVER_STARTED)
        return True

    def hear(self) -> None:
        """Take in what the starter has told, and ask it for what waits."""
        while self._end is not None and select.select([self._end], [], [], 0)[0]:
            told = receive(self._end)
            if told is None:
                self.lose()
                return
            self._take(*told)
        while self._is_ready and self._end is not None and self._waiting:
            self._ask(self._waiting.pop(0))

    def lose(self) -> None:
        """The starter is gone: what it had started ends, and what it was not yet asked for waits for its successor."""
        if self._end is not None:
            self._end.close()
        self._end, self._is_ready = None, False
        for one in self._asked.values():
            if one.pid is None:
                one.ended(-signal.SIGTERM)
            one.lost = True
        self._asked.clear()

    def wait(self, seconds: float) -> None:
        """Wait for news of the starter, at most ``seconds``."""
        if self._end is None:
            time.sleep(seconds)
        else:
            select.select([self._end], [], [], seconds)
            self.hear()  # else what nobody polls for stays unread, and there is news at once for ever

    def _ask(self, one: Forked) -> None:
        assert self._end is not None
        assert one.output is not None
        self._numbers += 1
        _, _, module, *arguments = one.process.command
        request = {
            "number": self._numbers,
            "module": module,
            "arguments": arguments,
            "grace_seconds": one.process.grace_seconds,
        }
        try:
            send(self._end, request, [one.output])
        except OSError:  # gone: heard of at the next look
            self._waiting.insert(0, one)
            self._is_ready = False
            return
        self._asked[self._numbers] = one
        one.let_go()

    def _take(self, told: dict[str, Any], files: list[int]) -> None:
        match told["event"]:
            case "ready":
                self._is_ready = True
            case "started":
                self._asked[told["number"]].started(told["pid"], *files)
            case "ended":
                self._asked.pop(told["number"]).ended(told["status"])
