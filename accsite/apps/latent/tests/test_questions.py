"""The socket of a latent hands on what it understands, for who may see the checkpoint, and says why it does not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import OperationalError

from accsite.apps.latent import consumers, desk, selectors
from accsite.apps.training.models import Checkpoint, Visibility
from accsite.apps.training.tests import rows

HEADERS = [(b"origin", b"http://testserver"), (b"host", b"testserver")]


class Answering(threading.Thread):
    """Answers each question with the numbers that came with it, as the process of latents answers with its own."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.client = redis.Redis.from_url(url)
        self.asked: list[dict[str, Any]] = []
        self.stopped = False
        desk.say_alive(self.client)

    def run(self) -> None:
        while not self.stopped:
            message = desk.take(self.client, 0.1)
            if message is None:
                continue
            asked, body = desk.unpack(message)
            self.asked.append(asked)
            if asked.get("part") == 0.25:
                desk.answer(self.client, asked["ticket"], {"error": "nothing lies between them"})
            else:
                desk.answer(self.client, asked["ticket"], {"pictures": 1}, body)


@pytest.fixture
def answering(redis_url: str) -> Iterator[Answering]:
    found = Answering(redis_url)
    found.start()
    yield found
    found.stopped = True
    found.join(5)
    found.client.delete(desk.ALIVE, desk.QUESTIONS)


@pytest.fixture
def checkpoint(transactional_db: None) -> Checkpoint:
    return rows.make_checkpoint(rows.make_branch(None))


async def answers(user: Any, *questions: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """Return header and body of the answers to questions, asked one after the other on one socket."""
    socket = WebsocketCommunicator(consumers.LatentConsumer.as_asgi(), "/ws/latent/", headers=HEADERS)
    socket.scope["user"] = user
    accepted, _ = await socket.connect()
    assert accepted
    found = []
    for question in questions:
        await socket.send_to(bytes_data=question)
        found.append(desk.unpack(await socket.receive_from(timeout=10)))
    await socket.disconnect()
    return found


def asked(user: Any, *questions: dict[str, Any], body: bytes = b"") -> list[dict[str, Any]]:
    return [
        header
        for header, _ in asyncio.run(
            answers(user, *(desk.pack({"id": 7, **each}, body) for each in questions))
        )
    ]


def test_a_question_goes_on_with_what_was_understood_of_it_and_the_answer_comes_back(
    answering: Answering, checkpoint: Checkpoint
) -> None:
    user = User.objects.create_user("ann")
    other = rows.make_checkpoint(checkpoint.branch, step=20)
    question = {
        "id": 3,
        "ask": "decode",
        "checkpoint": checkpoint.pk,
        "toward": other.pk,
        "part": 0.5,
        "who": "me",
    }
    ((header, body),) = asyncio.run(answers(user, desk.pack(question, b"\x00\n\x01")))
    assert (header, body) == ({"id": 3, "pictures": 1}, b"\x00\n\x01")
    (heard,) = answering.asked
    assert {name: heard[name] for name in ("ask", "checkpoint", "sha256", "toward", "part")} == {
        "ask": "decode", "checkpoint": checkpoint.pk, "sha256": checkpoint.sha256, "toward": other.pk, "part": 0.5,
    }  # fmt: skip
    assert heard["who"] != "me", "who asks is not the page's to say"
    (told,) = asked(user, {**question, "part": 0.25})
    assert told == {"id": 3, "error": "nothing lies between them"}


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"ask": "train"}, "open, start, decode, file"),
        ({"checkpoint": "1"}, "whole number"),
        ({"checkpoint": True}, "whole number"),
        ({"checkpoint": 2**70}, "whole number"),
        ({"checkpoint": 987_654}, "no such checkpoint"),
        ({"toward": 987_654, "part": 0.5}, "no such checkpoint"),
        ({"toward": None, "ask": "start", "seed": -1}, "from 0 to"),
        ({"ask": "start", "seed": "3"}, "from 0 to"),
        ({"ask": "start", "dataset": "digits", "row": -1}, "from 0 to"),
    ],
)
def test_what_makes_no_sense_is_answered_with_a_sentence_and_goes_to_nobody(
    answering: Answering, checkpoint: Checkpoint, wrong: dict[str, Any], right: str
) -> None:
    question = {"ask": "open", "checkpoint": checkpoint.pk, **wrong}
    (told,) = asked(User.objects.create_user("ann"), question)
    assert right in told["error"]
    assert told["id"] == 7
    assert answering.asked == []


def test_what_is_no_message_is_answered_and_the_socket_stays(
    answering: Answering, checkpoint: Checkpoint
) -> None:
    user = User.objects.create_user("ann")
    right = desk.pack({"id": 1, "ask": "open", "checkpoint": checkpoint.pk})
    wrong = [b"\n", b"[]\n", b"{", b"\xff\xff\n", json.dumps({"id": {}, "ask": []}).encode() + b"\n"]
    *refused, told = asyncio.run(answers(user, *wrong, right))
    assert all("error" in header for header, _ in refused)
    assert told[0] == {"id": 1, "pictures": 1}


def test_who_may_not_see_it_is_told_the_same_as_of_what_is_not_there(
    answering: Answering, checkpoint: Checkpoint
) -> None:
    experiment = checkpoint.experiment
    experiment.visibility, experiment.owner = Visibility.PRIVATE, User.objects.create_user("owner")
    experiment.save()
    stranger = User.objects.create_user("stranger")
    hidden, absent = asked(
        stranger,
        {"ask": "decode", "checkpoint": checkpoint.pk},
        {"ask": "decode", "checkpoint": checkpoint.pk + 1},
    )
    assert hidden == absent == {"id": 7, "error": consumers.NOT_SEEN}
    assert answering.asked == []
    assert asked(experiment.owner, {"ask": "open", "checkpoint": checkpoint.pk}) == [{"id": 7, "pictures": 1}]


def test_pruned_weights_draw_nothing_and_nobody_who_is_not_signed_in_is_let_in(
    answering: Answering, checkpoint: Checkpoint
) -> None:
    from django.contrib.auth.models import AnonymousUser
    from django.utils import timezone

    Checkpoint.objects.filter(pk=checkpoint.pk).update(weights_pruned_at=timezone.now())
    (told,) = asked(User.objects.create_user("ann"), {"ask": "open", "checkpoint": checkpoint.pk})
    assert "pruned" in told["error"]

    async def connects(user: Any, headers: Any) -> bool:
        socket = WebsocketCommunicator(consumers.LatentConsumer.as_asgi(), "/ws/latent/", headers=headers)
        socket.scope["user"] = user
        return bool((await socket.connect())[0])

    assert not asyncio.run(connects(AnonymousUser(), HEADERS))
    elsewhere = [(b"origin", b"http://elsewhere"), (b"host", b"testserver")]
    assert not asyncio.run(connects(User.objects.get(username="ann"), elsewhere))


async def opened(user: Any) -> WebsocketCommunicator:
    socket = WebsocketCommunicator(consumers.LatentConsumer.as_asgi(), "/ws/latent/", headers=HEADERS)
    socket.scope["user"] = user
    assert (await socket.connect())[0]
    return socket


def test_a_database_that_fails_is_answered_and_not_kept_silent(
    answering: Answering, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def locked(*_: Any) -> None:
        threads.append(threading.current_thread().name)
        raise OperationalError("database is locked")

    monkeypatch.setattr(selectors, "readable", locked)
    (told,) = asked(User.objects.create_user("ann"), {"ask": "open", "checkpoint": checkpoint.pk})
    assert told == {"id": 7, "error": consumers.UNEXPECTED}
    assert threads[0].startswith("latent"), "the threads of the live sockets have other work"


def test_who_asks_too_often_is_closed_with_the_reason(
    answering: Answering, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "MAX_QUESTIONS", 3)

    async def flood(user: Any) -> dict[str, Any]:
        socket = await opened(user)
        for _ in range(4):
            await socket.send_to(bytes_data=b"[]\n")
        while (said := await socket.receive_output(10))["type"] != "websocket.close":
            pass
        await socket.disconnect()
        return dict(said)

    closed = asyncio.run(flood(User.objects.create_user("ann")))
    assert closed["code"] == 4008
    assert "at most 3 questions in 10 s" in closed["reason"]


def test_a_person_has_so_many_sockets_and_another_again_when_one_is_closed(
    answering: Answering, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "MAX_SOCKETS", 1)
    question = desk.pack({"id": 1, "ask": "open", "checkpoint": checkpoint.pk})

    async def several(ann: Any, bob: Any) -> None:
        first, second, other = await opened(ann), await opened(ann), await opened(bob)
        closed = await second.receive_output(10)
        assert (closed["type"], closed["code"]) == ("websocket.close", 4008)
        assert "close a page" in closed["reason"]
        await second.disconnect()
        await first.disconnect()
        again = await opened(ann)
        for socket in (again, other):
            await socket.send_to(bytes_data=question)
            assert b"pictures" in await socket.receive_from(timeout=10)
            await socket.disconnect()

    asyncio.run(several(*(User.objects.create_user(name) for name in ("ann", "bob"))))
    assert not consumers._sockets


def test_of_the_checkpoints_that_were_named_only_the_newest_verdicts_are_kept(
    answering: Answering, checkpoint: Checkpoint
) -> None:
    made: list[consumers.LatentConsumer] = []
    connect = consumers.LatentConsumer.connect

    async def noted(self: consumers.LatentConsumer) -> None:
        made.append(self)
        await connect(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consumers.LatentConsumer, "connect", noted)
        names = range(checkpoint.pk + 1, checkpoint.pk + 41)
        asked(User.objects.create_user("ann"), *({"ask": "open", "checkpoint": name} for name in names))
    assert list(made[0].verdicts) == list(names)[-consumers.MAX_VERDICTS :]
