"""The running web process refuses long bodies with a sentence, and leaves forms to Django."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from accsite.apps.live.tests.conftest import Site

pytestmark = pytest.mark.one_database

MIB = 2**20


def post(site: Site, path: str, body: Any, kind: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    try:
        connection.request("POST", path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def pieces() -> Iterator[bytes]:
    """Yield six MiB, which are sent without saying before how many they will be."""
    yield from [b"a" * MIB] * 6


@pytest.mark.parametrize("body", [b"a" * 6 * MIB, pieces()], ids=["announced", "not announced"])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_a_long_body_is_refused_with_a_sentence(site: Site, body: Any, kind: str) -> None:
    body = body if isinstance(body, bytes) else pieces()
    status, problem = post(site, "/api/v1/experiments/", body, kind)
    assert (status, problem["status"]) == (413, 413)
    assert "may have 5,242,880 bytes" in problem["detail"]


def test_a_form_is_taken_apart_by_django_alone(site: Site) -> None:
    status, problem = post(site, "/api/v1/datasets/import/", b"no form", "multipart/form-data")
    assert (status, problem["title"]) == (401, "Authentication credentials were not provided.")
