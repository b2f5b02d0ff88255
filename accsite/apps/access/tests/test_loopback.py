"""Embedded settings are served to the machine that they run on, and to no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from acc.errors import InvalidInput
from accsite.apps.access.checks import embedded_stays_on_loopback
from accsite.apps.access.loopback import LoopbackOnly, is_loopback
from accsite.apps.access.services import assert_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_addresses_are_known(host):
    assert is_loopback(host)
    assert_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.7", "10.0.0.1", "*", "no such host", "8.8.8.8"]
)
def test_anything_else_is_refused_with_a_sentence(host, settings):
    with pytest.raises(InvalidInput, match="host: .* can be reached from other machines"):
        assert_loopback(host)
    settings.ACC_EMBEDDED = False
    assert_loopback(host)


async def _receive() -> dict[str, Any]:
    return {}


async def _inner(scope, receive, send):
    await send({"type": "inner"})


def _ask(**scope) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message):
        sent.append(message)

    asyncio.run(LoopbackOnly(_inner)({"type": "http", **scope}, _receive, send))
    return sent


HERE, THERE = ("127.0.0.1", 8000), ("192.168.1.7", 8000)


def test_connections_over_the_loopback_interface_pass():
    assert _ask(server=HERE, client=("127.0.0.1", 1)) == [{"type": "inner"}]
    assert _ask(server=("/run/acc.sock", None), client=None) == [{"type": "inner"}]


@pytest.mark.parametrize("ends", [{"server": THERE, "client": THERE}, {"server": HERE, "client": THERE}])
def test_connections_from_elsewhere_are_refused_whatever_the_server_was_bound_to(ends, settings):
    assert _ask(**ends)[0]["status"] == 403
    assert _ask(**ends, type="websocket") == [{"type": "websocket.close", "code": 1008}]
    settings.ACC_EMBEDDED = False
    assert _ask(**ends) == [{"type": "inner"}]


def test_the_system_check_names_each_host_that_others_could_reach(settings):
    assert embedded_stays_on_loopback() == []
    settings.ALLOWED_HOSTS = ["localhost", "acc.example", "*"]
    assert [error.id for error in embedded_stays_on_loopback()] == ["access.E001", "access.E001"]
    settings.ACC_EMBEDDED = False
    assert embedded_stays_on_loopback() == []
