"""Who hands on questions about latents ends only what rests or hangs, and always answers."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accsite.apps.latent import desk
from workers import latent

TICKETS = itertools.count()


class Desk(latent.Desk):
    """A desk whose checkpoints are processes that read nothing, so that the test answers when it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.far: dict[int, socket.socket] = {}

    def _fork(self, pk: int) -> latent._Open:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.far[pk] = its
        return latent._Open(os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ), mine)

    def ask(self, pk: int) -> str:
        """Have a checkpoint asked about, and return the ticket."""
        ticket = f"ticket-{os.getpid()}-{next(TICKETS)}"
        self.hand_on(desk.pack({"ask": "open", "checkpoint": pk, "sha256": str(pk), "ticket": ticket}))
        return ticket

    def answered(self, pk: int, ticket: str) -> None:
        self.far[pk].send(ticket.encode())
        self.look()

    def later(self, seconds: float) -> None:
        """Have all that happened be so much longer ago."""
        for each in self.open.values():
            each.used -= seconds
            each.heard = None if each.heard is None else each.heard - seconds
            each.waiting = {ticket: at - seconds for ticket, at in each.waiting.items()}


def told(made: latent.Desk, ticket: str) -> str | None:
    """Return the error that was answered; None if nothing was."""
    found: Any = made.client.lpop(desk.answers(ticket))
    return None if found is None else str(desk.unpack(found)[0]["error"])


@pytest.fixture
def made(redis_url: str, settings: Any) -> Iterator[Desk]:
    settings.REDIS_URL, settings.ACC_LATENT_CHECKPOINTS = redis_url, 2
    found = Desk()
    yield found
    found.close()


def test_only_a_checkpoint_that_rests_gives_its_place_to_another(made: Desk) -> None:
    first, second = made.ask(1), made.ask(2)
    made.answered(1, first)
    assert told(made, made.ask(3)) == latent.FULL, "one is being answered, the other was asked a moment ago"
    made.later(latent.YOUNG_SECONDS + 1)
    assert told(made, made.ask(3)) is None
    assert set(made.open) == {"2", "3"}
    assert told(made, second) is None, "nobody who waits is told that another took its place"


def test_a_checkpoint_may_be_slow_to_open_and_slow_with_many_questions_but_not_silent(made: Desk) -> None:
    first, second = made.ask(1), made.ask(1)
    made.later(latent.STUCK_SECONDS + 1)
    made.look()
    assert set(made.open) == {"1"}, "it is still being read"
    made.answered(1, first)
    made.look()
    assert set(made.open) == {"1"}, "the other has waited for longer, but it answers"
    made.later(latent.STUCK_SECONDS + 1)
    made.look()
    assert told(made, second) == latent.STUCK.format(seconds=latent.STUCK_SECONDS)
    third = made.ask(1)
    made.later(latent.OPENING_SECONDS + 1)
    made.look()
    assert told(made, third) == latent.STUCK.format(seconds=latent.OPENING_SECONDS)
    assert made.open == {}


def test_a_machine_without_room_for_a_process_is_told_of_and_keeps_the_desk_alive(
    redis_url: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    settings.REDIS_URL = redis_url
    found = latent.Desk()
    monkeypatch.setattr(os, "fork", none_left)
    monkeypatch.setattr(
        "workers.zygote.require_forkable", lambda: None
    )  # here are threads, and nothing is forked
    before = len(list(Path("/proc/self/fd").iterdir()))
    found.hand_on(desk.pack({"ask": "open", "checkpoint": 1, "sha256": "1", "ticket": "none-left"}))
    assert "Resource temporarily unavailable" in (told(found, "none-left") or "")
    assert found.open == {}
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1, "but for the connection to Redis"
