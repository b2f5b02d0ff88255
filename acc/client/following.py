"""A job, live: states and loss points from the WebSocket, and over REST whatever was missed."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from acc import wire
from acc.client.rows import Job
from acc.client.transport import ApiError, Transport, Unreachable
from acc.messages import Frame, LossHistory, ToPage, Watch

SILENCE_SECONDS = 20.0
"""The site speaks every few seconds; a socket that is silent for longer is dead."""
BACKOFF_SECONDS = (0.2, 2.0)
AWAY_SECONDS = 120.0
"""How long a site may be away before following it is given up."""
MAX_FRAME_BYTES = 2**24


@dataclass(frozen=True)
class State:
    """The job as it is now."""

    job: Job


@dataclass(frozen=True)
class Points:
    """Consecutive steps from ``start`` on: series -> raw losses ``(steps,) float32``, NaN where there is no value.

    A ``start`` before the end of the last points takes its steps back: the job was resumed from before them.
    """

    start: int
    columns: dict[str, NDArray[np.float32]]

    @property
    def stop(self) -> int:
        """The step behind the last one."""
        return self.start + max((len(column) for column in self.columns.values()), default=0)


Update = State | Points


class Following:
    """One following of one job; ``end``: the step behind the last one that was given out."""

    def __init__(self, transport: Transport, job: int, start: int) -> None:
        self.transport, self.job, self.end = transport, job, start
        self.attempt: int | None = None

    def updates(self) -> Iterator[Update]:
        """Yield until the job has ended; a site that has answered and then is away for two minutes only delays it."""
        pause, give_up_at = BACKOFF_SECONDS[0], 0.0
        while True:
            try:
                with self._socket() as socket:
                    wanted: Watch = {"type": "subscribe", "topics": {}, "jobs": [self.job]}
                    socket.send(json.dumps(wanted))
                    pause, give_up_at = BACKOFF_SECONDS[0], float("inf")
                    ended = yield from self._listen(socket)
            except (OSError, WebSocketException, TimeoutError):
                # Without a socket it goes on, only more slowly.
                try:
                    state = self._state()
                    yield from self._missed()
                except Unreachable:
                    give_up_at = min(give_up_at, time.monotonic() + AWAY_SECONDS if give_up_at else 0.0)
                    if time.monotonic() > give_up_at:
                        raise
                    time.sleep(pause)
                    continue
                give_up_at = float("inf")
                yield State(state)
                ended = state["ended"]
            if ended:
                return
            time.sleep(pause)
            pause = min(2 * pause, BACKOFF_SECONDS[1])

    def _socket(self) -> ClientConnection:
        url = self.transport.url
        return connect(
            f"ws{url.removeprefix('http')}/ws/live/",
            additional_headers={"Authorization": f"Token {self.transport.token}"},
            origin=cast(Any, url),
            open_timeout=self.transport.timeout,
            max_size=MAX_FRAME_BYTES,
        )

    def _listen(self, socket: ClientConnection) -> Generator[Update, None, bool]:
        """Yield what the socket tells; return whether the job has ended."""
        while True:
            message = socket.recv(timeout=SILENCE_SECONDS)
            if isinstance(message, bytes):
                header, values = wire.decode(message)
                yield from self._frame(cast(Frame, header), values)
                continue
            told: ToPage = json.loads(message)
            if told["type"] == "refused":
                raise ApiError(404, {"title": "Not found", "detail": f"job {self.job}: {told['reason']}"})
            if told["type"] != "job" or told["id"] != self.job:
                continue
            if told["step"] > self.end or told["ended"]:
                yield from self._missed()
            yield State(cast(Job, {name: value for name, value in told.items() if name != "type"}))
            if told["ended"]:
                return True

    def _frame(self, header: Frame, values: NDArray[np.float32]) -> Iterator[Points]:
        start, stop = header["start"], header["start"] + header["count"]
        if self.attempt not in (None, header["attempt"]) and start < self.end:
            self.end = start  # these steps are made again
        self.attempt = header["attempt"]
        if start > self.end:
            yield from self._missed()
        if stop > self.end:
            yield self._given(
                max(start, self.end), header["series"], values[:, max(start, self.end) - start :]
            )

    def _missed(self) -> Iterator[Points]:
        """Yield the steps from ``end`` on that the site has; after a resume from before it, those that replaced it."""
        header, found = history(self.transport, self.job, **{"from": self.end})
        if self.attempt not in (None, header["attempt"]) and header["step"] < self.end:
            self.end = 0
            header, found = history(self.transport, self.job)
        self.attempt = header["attempt"]
        if found.columns:
            self.end = found.stop
            yield found

    def _given(self, start: int, series: list[str], values: NDArray[np.float32]) -> Points:
        self.end = start + values.shape[1]
        return Points(start, {name: values[row] for row, name in enumerate(series)})

    def _state(self) -> Job:
        return cast(Job, self.transport.json("GET", f"jobs/{self.job}/"))


def history(transport: Transport, job: int, **query: Any) -> tuple[LossHistory, Points]:
    """Return header and points of a job's history as it lies: float32, the steps told by the first alone."""
    path, accept = f"jobs/{job}/loss_history/", {"Accept": wire.CONTENT_TYPE}
    told, values = wire.decode(transport.send("GET", path, headers=accept, **query))
    header = cast(LossHistory, told)
    return header, Points(header["start"], dict(zip(header["series"], values, strict=True)))
