"""The audit asks about everything that is pinned, and says whether it could."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from scripts import audit

ASKED: list[dict[str, str]] = []


class Database(BaseHTTPRequestHandler):
    """Knows of one vulnerability in Django, whichever version."""

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        names = [query["package"]["name"] for query in queries]
        ASKED.extend({"name": query["package"]["name"], "version": query["version"]} for query in queries)
        answer = {"results": [{"vulns": [{"id": "PYSEC-1"}]} if name == "django" else {} for name in names]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def database() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Database)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_known_vulnerability_is_told_and_fails(database, capsys):
    assert audit.main(database) == 1
    out = capsys.readouterr().out
    assert "django==5.2" in out
    assert "https://osv.dev/PYSEC-1" in out
    assert out.endswith("packages, 1 with known vulnerabilities\n")
    assert {"torch", "djangorestframework", "numpy"} <= {each["name"] for each in ASKED}


def test_a_database_that_is_away_is_no_all_clear(capsys):
    assert audit.main("http://127.0.0.1:1") == 2
    assert "could not be asked, so nothing is known" in capsys.readouterr().err
