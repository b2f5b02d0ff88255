"""A server that loads each plugin file in a fork of itself: ``python -m acc.plugins.check_server SECONDS``.

On its standard input one JSON object a line: ``{"path", "sha256", "text"}``; on its standard output first
``{"built_in": [...]}`` and then, in any order, ``{"path", "sha256", "report"}``. It has one thread, and never runs a
plugin's code itself. A request with ``"ticket"``, ``"seconds"`` and ``"preview"`` (what ``preview_of`` takes) is
answered by what the generator makes, with its ticket; one with ``"describe"`` (what ``description_of`` takes) by what
a model is made of, one with ``"setup"`` (what ``setup_of`` takes) by what a method makes for given data.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from acc.plugins.description import description_of
from acc.plugins.preview import failure, preview_of
from acc.plugins.report import Report, refusal, report_of
from acc.plugins.setup import setup_of
from acc.plugins.source import filename_of
from acc.text import clean

YOUNG_AT_ONCE = 4  # processes that load at the same time
YOUNG_SECONDS = 0.5  # one that takes longer waits or hangs: it gives its place to the next
AT_ONCE = 64
GRACE_SECONDS = 0.5  # between the alarm that a child sets itself, and the kill
MEMORY_BYTES = 4 * 2**30  # more than it has when it begins
OUTPUT_BYTES = 8_192


@dataclass
class _Child:
    pid: int
    request: dict[str, Any]
    pipe: int
    output: int
    limit_seconds: float
    began: float = field(default_factory=time.monotonic)
    data: bytes = b""


class Server:
    """Forks, collects, kills. ``limit_seconds``: how long a file may take to import."""

    def __init__(self, limit_seconds: float) -> None:
        self.limit_seconds = limit_seconds
        self._answers = os.dup(1)
        os.dup2(2, 1)  # whatever prints here must not get between the answers
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[dict[str, Any]] = deque()
        self._running: dict[int, _Child] = {}

    def serve(self) -> None:
        """Answer until the input ends; what is still looked at then is killed."""
        self._say({"built_in": _built_in()})
        self._selector.register(0, selectors.EVENT_READ)
        buffer = b""
        while True:
            for key, _ in self._selector.select(self._patience()):
                if key.fd != 0:
                    child = self._running.get(key.fd)
                    if child is not None:  # else its file was asked for anew in this very round
                        self._collect(child)
                    continue
                chunk = os.read(0, 1 << 16)
                if not chunk:
                    for child in list(self._running.values()):
                        self._end(child)
                    return
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
            self._kill_late()
            while self._waiting and self._has_room():
                self._fork(self._waiting.popleft())

    def _take(self, request: dict[str, Any]) -> None:
        """Queue a request; an older version of the same file is of no interest any more."""
        path = request["path"]
        self._waiting = deque(other for other in self._waiting if other["path"] != path)
        for child in [child for child in self._running.values() if child.request["path"] == path]:
            self._end(child)
        self._waiting.append(request)

    def _has_room(self) -> bool:
        now = time.monotonic()
        young = sum(now - child.began < YOUNG_SECONDS for child in self._running.values())
        return young < YOUNG_AT_ONCE and len(self._running) < AT_ONCE

    def _patience(self) -> float | None:
        """Return how long nothing can become due: a kill, or room for one that waits."""
        now = time.monotonic()
        dues = [child.began + child.limit_seconds + GRACE_SECONDS for child in self._running.values()]
        if self._waiting:
            dues += [
                child.began + YOUNG_SECONDS
                for child in self._running.values()
                if now - child.began < YOUNG_SECONDS
            ]
        return max(0.0, min(dues) - now) if dues else None

    def _fork(self, request: dict[str, Any]) -> None:
        limit_seconds = float(request.get("seconds", self.limit_seconds))
        reader, writer = os.pipe()
        output = os.memfd_create("output")
        pid = os.fork()
        if pid == 0:
            _be_child(request, writer, output, limit_seconds)
        with suppress(OSError):
            os.setpgid(pid, pid)  # in both processes, so that neither has to wait for the other
        os.close(writer)
        child = self._running[reader] = _Child(pid, request, reader, output, limit_seconds)
        self._selector.register(child.pipe, selectors.EVENT_READ)

    def _collect(self, child: _Child) -> None:
        chunk = os.read(child.pipe, 1 << 16)
        child.data += chunk
        if chunk and not child.data.endswith(b"\n"):  # what it started may hold the pipe open
            return
        output = clean(os.pread(child.output, OUTPUT_BYTES, 0).decode("utf-8", "replace"), OUTPUT_BYTES)
        status = self._end(child)
        try:
            report: Report = json.loads(child.data)
        except ValueError:
            report = _refused(child.request, f"ended the process that imported it ({_in_words(status)})")
        report["output"] = output
        self._answer(child, report)

    def _kill_late(self) -> None:
        now = time.monotonic()
        for child in list(self._running.values()):
            age = now - child.began
            if age >= child.limit_seconds + GRACE_SECONDS:
                self._end(child)
                self._answer(child, _refused(child.request, _late(child.request, child.limit_seconds)))
            elif age >= YOUNG_SECONDS:
                # Whatever it does, training comes first.
                with suppress(OSError):
                    os.setpriority(os.PRIO_PGRP, child.pid, 19)

    def _end(self, child: _Child) -> int:
        """Kill a child, and what it may have started, and return its status."""
        self._selector.unregister(child.pipe)
        del self._running[child.pipe]
        os.close(child.pipe)
        os.close(child.output)
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError):
                kill(child.pid, signal.SIGKILL)
        return os.waitpid(child.pid, 0)[1]

    def _answer(self, child: _Child, report: Report) -> None:
        request = child.request
        message = {"path": request["path"], "sha256": request["sha256"], "report": report}
        if "ticket" in request:
            message["ticket"] = request["ticket"]
        self._say(message)

    def _say(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._answers, data) :]


def too_long(limit_seconds: float) -> str:
    """Return the sentence for a file that does not come to an end."""
    return (
        f"took longer than {limit_seconds:g} s to import and was stopped; "
        "a plugin may only define things at import, no work and no waiting"
    )


def _late(request: dict[str, Any], limit_seconds: float) -> str:
    if "describe" in request:
        return f"the drawing took longer than {limit_seconds:g} s and was stopped; the model can be trained without"
    if "setup" in request:
        return f"the method took longer than {limit_seconds:g} s and was stopped; setup(data) may only say what to make"
    if "preview" not in request:
        return too_long(limit_seconds)
    return f"the preview took longer than {limit_seconds:g} s and was stopped; the images can be made all the same"


def _refused(request: dict[str, Any], message: str, **where: Any) -> Any:
    return failure(message) if "ticket" in request else refusal(message, **where)


def _be_child(request: dict[str, Any], writer: int, output: int, limit_seconds: float) -> NoReturn:
    status = 1
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        path, text, sha256 = request.get("source_path", request["path"]), request["text"], request["sha256"]
        filename = filename_of(path, sha256)

        def tell_where(_number: int, frame: FrameType | None) -> None:
            while frame is not None and frame.f_code.co_filename != filename:
                frame = frame.f_back
            line = frame.f_lineno if frame is not None else None
            _write(writer, _refused(request, _late(request, limit_seconds), text=text, line=line))
            os._exit(0)

        signal.signal(signal.SIGALRM, tell_where)
        signal.setitimer(signal.ITIMER_REAL, limit_seconds)
        report: Any
        if "preview" in request:
            report = preview_of(path, text, sha256, **request["preview"])
        elif "describe" in request:
            report = description_of(path, text, sha256, **request["describe"])
        elif "setup" in request:
            report = setup_of(path, text, sha256, **request["setup"])
        else:
            report = report_of(path, text, sha256)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.flush()
        sys.stderr.flush()
        _write(writer, report)
        status = 0
    finally:
        os._exit(status)


def _write(pipe: int, report: Any) -> None:
    data = json.dumps(report).encode() + b"\n"
    while data:
        data = data[os.write(pipe, data) :]


def _in_words(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _built_in() -> list[dict[str, Any]]:
    """Return the files of the architectures that come with ACC, each with its classes described."""
    from acc.plugins.load import built_in_models

    files: dict[str, dict[str, Any]] = {}
    for plugin in built_in_models():
        file = {"path": plugin.path, "sha256": plugin.sha256, "text": plugin.source, "classes": []}
        files.setdefault(plugin.path, file)["classes"].append(plugin.describe())
    return list(files.values())


def main() -> None:
    """Import all that plugins build upon, and serve."""
    import acc.api
    import acc.models.describe
    import acc.plugins.load  # noqa: F401 - imported once, before the forks

    gc.collect()
    gc.freeze()  # out of the collector's reach, its pages stay shared with the forks
    Server(float(sys.argv[1])).serve()


if __name__ == "__main__":
    main()
