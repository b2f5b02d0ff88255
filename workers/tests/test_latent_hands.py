"""What a process of one checkpoint's latent writes and answers, with a real model in the hand."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import torch
from django.core.files.storage import default_storage

from acc.errors import InvalidInput
from acc.evaluation.hand import LatentHand
from acc.tests import evaluated, helpers
from accsite.apps.latent import desk
from workers import hands


@pytest.fixture
def hand() -> hands.Hand:
    """A trained checkpoint in the hand, of no row."""
    found = hands.Hand.__new__(hands.Hand)
    found.hand = LatentHand(evaluated.checkpoint(), helpers.shipped_tasks(), None)
    found.row = SimpleNamespace(sha256="0" * 64)  # type: ignore[assignment]
    found._other = None
    return found


def test_nobody_ever_sees_a_part_of_a_decoder(hand: hands.Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    name = desk.decoder_file(hand.row.sha256)
    place, real = Path(default_storage.path(name)), os.open
    opened: list[Path] = []

    def noting(path: Any, *args: Any, **more: Any) -> int:
        opened.append(Path(path))
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", noting)
    try:
        told, _ = hand.answer({"ask": "file"}, b"")
        assert told == {"file": name, "bytes": place.stat().st_size}
        assert place not in opened, "it is written elsewhere, and renamed once it is whole"
    finally:
        default_storage.delete(name)


def test_a_picture_that_a_newer_one_replaces_is_told_so_at_once(
    redis_url: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = redis_url
    monkeypatch.setattr(hands, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(
        torch, "set_num_threads", lambda count: None
    )  # the process is this one's, and has other work
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked = {"ask": "decode", "checkpoint": 1, "who": "me", "at": 0.0}
    for ticket in ("older", "newer"):
        mine.send(desk.pack({**asked, "ticket": ticket}))
    monkeypatch.setattr(hands, "_opened", lambda pk: (None, "there is none"))
    hands.serve(1, its)
    client: Any = redis.Redis.from_url(redis_url)
    told = {ticket: client.lpop(desk.answers(ticket)) for ticket in ("older", "newer")}
    assert desk.unpack(told["older"])[0] == {"error": hands.TOO_LATE}
    assert desk.unpack(told["newer"])[0] == {"error": "there is none"}
    assert {mine.recv(64), mine.recv(64)} == {b"older", b"newer"}


def test_a_latent_that_no_question_has_room_for_is_refused_in_a_sentence(
    hand: hands.Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hand.answer({"ask": "open"}, b"")[0]["shape"] == (8,)
    monkeypatch.setattr(desk, "MAX_LATENT_NUMBERS", 7)
    with pytest.raises(InvalidInput, match="has 8 numbers; at most 7 can be taken in hand"):
        hand.answer({"ask": "open"}, b"")
