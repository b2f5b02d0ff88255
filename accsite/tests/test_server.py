"""The web process serves the socket that it is given, refuses in words what is no request, and ends when told to."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from accsite import server
from accsite.supervisor.platform import ROOT, listen_from
from accsite.supervisor.processes import table

pytestmark = pytest.mark.one_database

LINE = server.LONGEST_LINE_BYTES


@dataclass
class Web:
    port: int
    process: subprocess.Popen[bytes]

    def send(self, data: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=90)
        connection.sendall(data)
        return connection

    def ask(self, target: str, *headers: str) -> tuple[int, str, str]:
        """Return status, media type and body of a GET."""
        lines = [f"GET {target} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
        with self.send("\r\n".join(lines).encode()) as connection:
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.getheader("content-type", ""), answer.read().decode()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web process as the supervisor starts it."""
    home = tmp_path_factory.mktemp("home")
    with listen_from("127.0.0.1", 0) as listener:
        process = next(each for each in table(listener=listener.fileno()) if each.name == "web")
        command = [word.replace("accsite.asgi", "accsite.tests.stuck") for word in process.command]
        running = subprocess.Popen(
            command,
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "accsite.settings.embedded",
                "ACC_HOME": str(home),
                "DATABASE_URL": f"sqlite:///{home / 'acc.sqlite3'}",
            },
            pass_fds=process.files,
        )
        yield Web(listener.getsockname()[1], running)
        running.kill()
        running.wait()


def test_who_comes_before_the_site_is_up_is_answered_by_it(web: Web):
    assert web.ask("/healthz")[0] == 200


def test_a_long_address_is_refused_in_words(web: Web):
    code, _, body = web.ask("/healthz?q=" + "a" * 20_000)
    assert (code, body) == (414, "The address of the request is too long: it may have 16,384 bytes\n")
    code, media, body = web.ask("/api/v1/jobs/?q=" + "a" * 2_000_000)
    assert (code, media) == (414, "application/problem+json")
    assert json.loads(body)["detail"] == "it may have 16,384 bytes"
    assert web.ask("/healthz?q=" + "a" * (LINE - 100))[0] == 200


def test_long_headers_are_refused_in_words(web: Web):
    assert web.ask("/healthz", "X-Long: " + "a" * 20_000)[0] == 431
    assert web.ask("/healthz", *(f"X-{n}: " + "a" * 15_000 for n in range(5)))[0] == 431
    code, _, body = web.ask("/healthz", "no header at all")
    assert (code, body) == (400, "The request could not be read: it is not HTTP\n")


def test_it_ends_when_told_to_though_a_thread_of_it_hears_nothing(web: Web):
    web.ask("/healthz")
    with web.send(b"GET /stuck HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):
        time.sleep(0.5)
        started = time.monotonic()
        web.process.terminate()
        assert web.process.wait(60) == 0
        # Not at once, since what is in progress has some time; on a busy machine a little later.
        assert server.END_SECONDS - 1 < time.monotonic() - started < server.END_SECONDS + 20
