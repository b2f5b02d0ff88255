"""Who may open a socket: the pages of this very site, and programs with a token; and how long it stays open."""

from __future__ import annotations

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client

from accsite.apps.access.tokens import make_token, revoke_token
from accsite.asgi import application

pytestmark = pytest.mark.django_db(transaction=True)
HERE = [(b"host", b"testserver"), (b"origin", b"http://testserver")]


def cookie_of(user: User) -> tuple[bytes, bytes]:
    browser = Client()
    browser.force_login(user)
    return b"cookie", f"sessionid={browser.cookies['sessionid'].value}".encode()


async def opened(headers: list[tuple[bytes, bytes]]) -> bool:
    socket = WebsocketCommunicator(application, "/ws/live/", headers=headers)
    connected, _ = await socket.connect(timeout=10)
    await socket.disconnect(timeout=10)
    return bool(connected)


def test_a_socket_opens_for_this_site_and_its_users_alone(redis_url):
    user = User.objects.create_user("ann")
    row, token = make_token(user=user, name="a")
    cookie = cookie_of(user)
    bearer = (b"authorization", f"Token {token}".encode())
    wrong = (b"authorization", b"Token acc_" + b"0" * 64)
    other = [(b"host", b"testserver"), (b"origin", b"http://evil.example")]
    port = [(b"host", b"testserver:80"), (b"origin", b"http://testserver:9000")]

    async def ask() -> dict[str, bool]:
        return {
            "session": await opened([*HERE, cookie]),
            "token": await opened([*HERE, bearer]),
            "nobody": await opened(HERE),
            "wrong token": await opened([*HERE, wrong]),
            "wrong token beside a session": await opened([*HERE, wrong, cookie]),
            "other origin": await opened([*other, cookie]),
            "other origin with token": await opened([*other, bearer]),
            "other port": await opened([*port, cookie]),
            "no origin": await opened([(b"host", b"testserver"), cookie]),
        }

    answers = asyncio.run(ask())
    assert {name for name, yes in answers.items() if yes} == {"session", "token"}
    revoke_token(row)
    assert not asyncio.run(opened([*HERE, bearer]))


def test_a_socket_of_a_token_is_closed_when_it_is_revoked(redis_url):
    user = User.objects.create_user("ann")
    row, token = make_token(user=user, name="a")

    async def play() -> dict[str, object]:
        from accsite.apps.live.hub import hub

        headers = [*HERE, (b"authorization", f"Token {token}".encode())]
        socket = WebsocketCommunicator(application, "/ws/live/", headers=headers)
        await socket.connect(timeout=10)
        await socket.send_to(text_data=json.dumps({"type": "subscribe", "topics": {"jobs": 0}}))
        await socket.receive_from(timeout=5)
        await hub().check_sessions()
        assert await socket.receive_nothing(0.1)
        await sync_to_async(revoke_token)(row)
        await hub().check_sessions()
        while (said := await socket.receive_output(timeout=5))["type"] != "websocket.close":
            pass
        return dict(said)

    assert asyncio.run(play())["code"] == 4401
