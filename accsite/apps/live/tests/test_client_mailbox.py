"""The mailbox of a page that does not read stays small, and keeps what matters."""

from __future__ import annotations

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from accsite.apps.live.client import MAX_FRAMES, Client


def _drain(client: Client) -> list[str | bytes]:
    client.close(1000)

    async def read() -> list[str | bytes]:
        return [message async for message in client.outgoing()]

    return asyncio.run(read())


@given(st.integers(min_value=0, max_value=3 * MAX_FRAMES))
def test_of_frames_the_newest_are_kept_in_order(count):
    client = Client(1, None)
    for index in range(count):
        client.frame(str(index).encode())
    expected = [str(index).encode() for index in range(count)][-MAX_FRAMES:]
    assert _drain(client) == expected
    assert client.dropped_frames == max(0, count - MAX_FRAMES)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), max_size=60))
def test_of_signals_the_newest_of_each_topic_is_kept(signals):
    client = Client(1, None)
    for topic, version in signals:
        client.latest(topic, {"type": "signal", "topic": topic, "version": version, "data": None})
    sent = [json.loads(message) for message in _drain(client)]
    assert {message["topic"]: message["version"] for message in sent} == dict(signals)
    assert len(sent) == len(dict(signals))


def test_answers_are_never_lost_to_frames():
    client = Client(1, None)
    client.notice({"type": "refused", "topic": "a", "reason": "it is gone"})
    for _ in range(1000):
        client.frame(b"x")
    assert json.loads(_drain(client)[0])["type"] == "refused"


def test_what_comes_while_it_is_being_read_is_read_too():
    client = Client(1, None)

    async def read() -> list[str | bytes]:
        client.frame(b"1")
        seen: list[str | bytes] = []
        async for message in client.outgoing():
            seen.append(message)
            if message == b"1":
                asyncio.get_running_loop().call_later(0.01, client.frame, b"2")
            else:
                client.close(1000)
        return seen

    assert asyncio.run(read()) == [b"1", b"2"]
