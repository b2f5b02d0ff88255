"""A body is refused before it is kept when it has more bytes than its address takes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from accsite.bodies import FORM_BYTES, BoundedBodies, most_bytes

MOST = 2_000


@pytest.fixture(autouse=True)
def small(settings: Any) -> None:
    settings.ACC_MAX_BODY_BYTES = MOST - FORM_BYTES
    settings.ACC_MAX_DATASET_BYTES = FORM_BYTES
    settings.ACC_IMPORT_BYTES = FORM_BYTES


async def read(_scope: Any, receive: Any, send: Any) -> None:
    """Read a body to its end, as Django does, and answer with its length."""
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


def ask(path: str, chunks: list[bytes], *, announced: int | None = None) -> tuple[int, bytes]:
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": at + 1 < len(chunks)}
        for at, chunk in enumerate(chunks)
    ]
    said: list[Any] = []
    headers = [] if announced is None else [(b"content-length", str(announced).encode())]

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "path": path, "headers": headers}
    asyncio.run(BoundedBodies(read)(scope, receive, send))
    assert bool(waiting) == (announced is not None and announced > most_bytes(path))  # then nothing was read
    return said[0]["status"], said[1]["body"]


def test_what_has_few_enough_bytes_is_read() -> None:
    assert ask("/api/v1/jobs/", [b"a" * 1_999, b"b"], announced=MOST) == (200, b"2000")
    assert ask("/api/v1/jobs/", [b"a" * 1_999, b"b"]) == (200, b"2000")
    assert ask("/no/such/page/", [b""]) == (200, b"0")


@pytest.mark.parametrize("announced", [None, MOST + 1])
def test_what_has_more_is_refused_with_a_sentence(announced: int | None) -> None:
    status, body = ask("/api/v1/jobs/", [b"a" * 1_999, b"bc"], announced=announced)
    assert status == 413
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "The request is too large",
        "status": 413,
        "detail": "a request to this address may have 2,000 bytes",
    }
    assert ask("/sign-in/", [b"a" * 3_000], announced=announced and 3_000)[1].startswith(
        b"The request is too"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/datasets/import/",
        "/api/v1/checkpoints/import/",
        "/datasets/import/",
        "/experiments/new/import/",
    ],
)
def test_uploads_may_have_as_much_as_a_dataset_or_a_checkpoint(path: str) -> None:
    assert most_bytes(path) == (3 if "datasets" in path else 2) * FORM_BYTES
