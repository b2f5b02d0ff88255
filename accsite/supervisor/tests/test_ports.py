"""The site takes the port that was asked for, or the next one that is free."""

from __future__ import annotations

import socket

import pytest

from acc.errors import AccError, InvalidInput
from accsite.supervisor import platform
from accsite.supervisor.redis import free_port


def test_a_free_port_is_taken():
    port = free_port()
    with platform.listen_from("127.0.0.1", port) as listener:
        assert listener.getsockname()[1] == port
        # From now on it is nobody else's, long before the site answers there.
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()


def test_a_busy_port_gives_the_next_free_one():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with platform.listen_from("127.0.0.1", port) as listener:
            assert listener.getsockname()[1] > port


def test_no_free_port_is_said_with_the_option(monkeypatch):
    monkeypatch.setattr(platform, "PORTS_TRIED", 1)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(AccError, match="--port"):
            platform.listen_from("127.0.0.1", busy.getsockname()[1])


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
def test_what_is_no_port_is_refused(port: int):
    with pytest.raises(InvalidInput, match="choose one from 1 to 65535"):
        platform.listen_from("127.0.0.1", port)


def test_any_port_may_be_asked_for():
    with platform.listen_from("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0
