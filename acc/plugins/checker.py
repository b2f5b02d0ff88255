"""Looks at plugin files in throw-away processes, so that nothing a file does at import can hurt the caller.

``python -m acc.plugins.checker`` is a server on its standard input and output, one JSON object a line:
``[{"path", "text"}, ...]`` in, ``{path: {"classes"} or {"error", "line", "context", "detail"}}`` out.
It imports torch once and forks a child for each file, so an answer takes milliseconds; a child that takes too
long is killed. ``Checker`` is the client.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from acc.errors import PluginError
from acc.plugins.scan import FoundFile

LIMIT_SECONDS = 5.0
AT_ONCE = 4


def report_of(path: str, text: str) -> dict[str, Any]:
    """Load a file in this process and return its classes described, or its error, as JSON."""
    from acc.plugins.load import context_of, load_source

    try:
        return {"classes": [plugin.describe() for plugin in load_source(text, path)]}
    except PluginError as error:
        return {
            "error": error.message,
            "line": error.line,
            "context": context_of(text, error.line),
            "detail": error.detail,
        }


class Checker:
    """A running checker process. ``check`` blocks until every file has its report; ``close`` ends it."""

    def __init__(self, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.limit_seconds = limit_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def check(self, files: Sequence[FoundFile]) -> dict[str, dict[str, Any]]:
        """Return path -> report of each file; a process that died is started again once."""
        reports = {file.path: _refusal(file.error) for file in files if file.error}
        asked = [file for file in files if not file.error]
        if asked:
            try:
                reports |= self._ask(asked)
            except (BrokenPipeError, EOFError):
                self.close()
                reports |= self._ask(asked)
        return reports

    def start(self) -> None:
        """Start the process now, so that the first check does not wait for its imports."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", "acc.plugins.checker", str(self.limit_seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _ask(self, files: Sequence[FoundFile]) -> dict[str, dict[str, Any]]:
        self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = [{"path": file.path, "text": file.text} for file in files]
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise EOFError("the plugin checker ended")
        reports: dict[str, dict[str, Any]] = json.loads(line)
        return reports


@dataclass
class _Child:
    pid: int
    path: str
    pipe: int
    deadline: float
    data: bytes = b""


def serve(requests: BinaryIO, answers: BinaryIO, limit_seconds: float) -> None:
    """Answer requests until the input ends."""
    import acc.api
    import acc.plugins.load  # noqa: F401 - imported before the fork, once for all children

    for line in requests:
        waiting = list(json.loads(line))
        answers.write(json.dumps(_check_all(waiting, limit_seconds)).encode() + b"\n")
        answers.flush()


def _check_all(waiting: list[dict[str, str]], limit_seconds: float) -> dict[str, dict[str, Any]]:
    reports: dict[str, dict[str, Any]] = {}
    running: dict[int, _Child] = {}
    with selectors.DefaultSelector() as selector:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                child = _fork(waiting.pop(0), limit_seconds)
                running[child.pipe] = child
                selector.register(child.pipe, selectors.EVENT_READ)
            nearest = min(child.deadline for child in running.values())
            for key, _ in selector.select(max(0.0, nearest - time.monotonic())):
                child = running[key.fd]
                chunk = os.read(key.fd, 1 << 16)
                child.data += chunk
                if not chunk:
                    reports[child.path] = _end(child, selector, running)
            for child in [child for child in running.values() if child.deadline <= time.monotonic()]:
                os.killpg(child.pid, signal.SIGKILL)
                _end(child, selector, running)
                reports[child.path] = _refusal(
                    f"took longer than {limit_seconds:g} s to import and was stopped; "
                    "a plugin may only define things at import, no work and no waiting"
                )
    return reports


def _fork(request: dict[str, str], limit_seconds: float) -> _Child:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - runs in the child
        status = 1
        try:
            os.setsid()
            os.close(reader)
            # What the file prints must not get between the answers; it goes to the log.
            os.dup2(2, 1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            report = report_of(request["path"], request["text"])
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(json.dumps(report).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    return _Child(pid, request["path"], reader, time.monotonic() + limit_seconds)


def _end(child: _Child, selector: selectors.BaseSelector, running: dict[int, _Child]) -> dict[str, Any]:
    selector.unregister(child.pipe)
    os.close(child.pipe)
    del running[child.pipe]
    _, status = os.waitpid(child.pid, 0)
    try:
        report: dict[str, Any] = json.loads(child.data)
    except ValueError:
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit status {status >> 8}"
        return _refusal(f"ended the process that imported it ({how})")
    return report


def _refusal(message: str) -> dict[str, Any]:
    return {"error": message, "line": None, "context": "", "detail": ""}


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, float(sys.argv[1]) if len(sys.argv) > 1 else LIMIT_SECONDS)
