"""Looks at plugin files in throw-away processes, so that nothing a file does at import can hurt the caller.

``Checker`` is the client of ``acc.plugins.check_server``, a process that has imported torch once and forks a child
for each file: an answer takes milliseconds, and a file that hangs keeps no other waiting. Torch-free.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any, Literal

from acc import forked
from acc.plugins.report import Report, refusal
from acc.plugins.scan import FoundFile

LIMIT_SECONDS = 20.0  # of one file; scikit-learn alone takes several on a busy machine
MAX_STARTS_IN_A_ROW = 3
READY_SECONDS = 120.0
# BLAS and OpenMP must not start threads before the fork.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class CheckerDied(RuntimeError):
    """The process that looks at plugin files ends as soon as it is started."""


@dataclass(frozen=True)
class PreviewRequest:
    """What ``preview_of`` is to make, or ``description_of`` or ``setup_of`` to find. ticket: names the answer.

    Of one asker (``who``) the last request wins. asked: what it is about, by the names of the function's parameters.
    """

    ticket: str
    who: str
    path: str
    sha256: str
    text: str
    seconds: float
    asked: dict[str, Any]
    kind: Literal["preview", "describe", "setup"] = "preview"

    def as_message(self) -> dict[str, Any]:
        """Return it as the server takes it."""
        return {
            "ticket": self.ticket,
            "path": f"{self.kind} of {self.who}",
            "source_path": self.path,
            "sha256": self.sha256,
            "text": self.text,
            "seconds": self.seconds,
            self.kind: self.asked,
        }


@dataclass(frozen=True)
class Answer:
    """What became of one version of a file."""

    file: FoundFile
    report: Report


class Checker:
    """A running check server. ``submit`` files, wait on ``fileno()``, ``receive`` answers in any order.

    A newer version of a file takes the place of an older one that is still looked at. A server that dies is
    started again, and asked again for all that it owes.
    """

    def __init__(self, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.limit_seconds = limit_seconds
        self.built_in: list[dict[str, Any]] = []
        self._process: subprocess.Popen[bytes] | forked.Fork | None = None
        self._requests: IO[bytes] | None = None
        self._answers: IO[bytes] | None = None
        self._owed: dict[str, FoundFile] = {}
        self._answered: list[Answer] = []
        self._previews: dict[str, PreviewRequest] = {}  # by who asked
        self._previewed: list[tuple[PreviewRequest, dict[str, Any]]] = []
        self._buffer = b""
        self._starts = 0

    def start(self) -> None:
        """Start the server, which imports torch while the caller goes on."""
        if self._process is not None:
            return
        self._starts += 1
        if self._starts > MAX_STARTS_IN_A_ROW:
            self._starts = 0
            raise CheckerDied(
                "the process that looks at plugin files ends at once; its errors are in this log"
            )
        self._buffer = b""
        their_input, requests = os.pipe()
        answers, their_output = os.pipe()
        self._process = forked.start(
            "acc.plugins.check_server",
            [str(self.limit_seconds)],
            environment={**os.environ, **_ONE_THREAD},
            stdin=their_input,
            stdout=their_output,
        )
        os.close(their_input)
        os.close(their_output)
        self._requests, self._answers = os.fdopen(requests, "wb"), os.fdopen(answers, "rb")
        for file in self._owed.values():
            self._send(file)

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is something to receive."""
        self.start()
        assert self._answers is not None
        return self._answers.fileno()

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to be received."""
        return bool(self._owed or self._answered)

    def submit(self, file: FoundFile) -> None:
        """Ask for a file; its answer comes by ``receive``."""
        if file.error:
            self._owed.pop(file.path, None)
            self._answered.append(Answer(file, refusal(file.error)))
            return
        self.start()
        self._owed[file.path] = file
        self._send(file)

    def preview(self, request: PreviewRequest) -> None:
        """Ask for a preview; it comes by ``receive_previews``, and an older one of the same asker is given up."""
        self.start()
        older = self._previews.pop(request.who, None)
        if older is not None:
            self._previewed.append((older, {"superseded": True}))
        self._previews[request.who] = request
        self._say(request.as_message())

    def receive_previews(self) -> list[tuple[PreviewRequest, dict[str, Any]]]:
        """Return the previews that ``receive`` has brought, each with its request."""
        previews, self._previewed = self._previewed, []
        return previews

    def receive(self, timeout_seconds: float = 0.0) -> list[Answer]:
        """Return the answers that are there, waiting up to ``timeout_seconds`` for the first."""
        if not self._answered:
            ready, _, _ = select.select([self.fileno()], [], [], timeout_seconds)
            if ready:
                self._read()
        answers, self._answered = self._answered, []
        return answers

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> bool:
        """Return whether the server has imported what it needs within ``seconds``; ``built_in`` is known then."""
        end = time.monotonic() + seconds
        while not self.built_in and (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self.fileno()], [], [], left)
            if ready:
                self._read()
        return bool(self.built_in)

    def check(self, files: Iterable[FoundFile]) -> dict[str, Report]:
        """Return path -> report of each file, waiting for all of them; other answers are dropped."""
        asked = {file.path: file for file in files}
        for file in asked.values():
            self.submit(file)
        reports: dict[str, Report] = {}
        while len(reports) < len(asked):
            for answer in self.receive(1.0):
                if asked.get(answer.file.path) == answer.file:
                    reports[answer.file.path] = answer.report
        return reports

    def close(self) -> None:
        """End the server and all that it is looking at."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (self._requests, self._answers):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
        try:
            process.wait(2)  # it kills its children when its input ends
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _send(self, file: FoundFile) -> None:
        self._say({"path": file.path, "sha256": file.sha256, "text": file.text})

    def _say(self, request: dict[str, Any]) -> None:
        assert self._requests is not None
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            pass  # seen as the end of its output, upon which it is started again

    def _read(self) -> None:
        chunk = os.read(self.fileno(), 1 << 16)
        if not chunk:
            self.close()
            for request in self._previews.values():
                self._previewed.append((request, {"error": "the preview was lost; ask again", "fields": {}}))
            self._previews.clear()
            self.start()
            return
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "built_in" in message:
                self.built_in = message["built_in"]
                continue
            self._starts = 0
            if "ticket" in message:
                self._take_preview(message)
                continue
            file = self._owed.get(message["path"])
            if file is not None and file.sha256 == message["sha256"]:
                del self._owed[file.path]
                self._answered.append(Answer(file, message["report"]))

    def _take_preview(self, message: dict[str, Any]) -> None:
        for who, request in self._previews.items():
            if request.ticket == message["ticket"]:
                del self._previews[who]
                self._previewed.append((request, message["report"]))
                return
