"""The site takes the port that was asked for, or the next one that is free."""

from __future__ import annotations

import socket

import pytest

from acc.errors import AccError
from accsite.supervisor import platform
from accsite.supervisor.redis import free_port


def test_a_free_port_is_taken():
    port = free_port()
    assert platform.free_port_from("127.0.0.1", port) == port


def test_a_busy_port_gives_the_next_free_one():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert platform.free_port_from("127.0.0.1", port) > port


def test_no_free_port_is_said_with_the_option(monkeypatch):
    monkeypatch.setattr(platform, "PORTS_TRIED", 1)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(AccError, match="--port"):
            platform.free_port_from("127.0.0.1", busy.getsockname()[1])
