"""A socket answers nonsense with a sentence, and floods by closing."""

from __future__ import annotations

import pytest

from accsite.apps.live.consumers import MAX_MESSAGE_BYTES, MAX_MESSAGES, MAX_SUBSCRIPTIONS
from accsite.apps.live.tests.socket_client import Closed

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        ("{", "this is not JSON"),
        ("[" * 8000, "this is not JSON"),
        ("[]", 'send an object with "type"'),
        ('{"type": "shout"}', 'send an object with "type"'),
        ('{"type": "subscribe", "topics": 3}', '"topics" is an object'),
        ('{"type": "subscribe", "topics": [3]}', '"topics" is an object'),
        ('{"type": "subscribe", "jobs": ["41"]}', '"jobs" is a list of job ids'),
        ('{"type": "subscribe", "jobs": [true]}', '"jobs" is a list of job ids'),
        ('{"type": "subscribe", "jobs": [99999999999999999999]}', '"jobs" is a list of job ids'),
    ],
)
def test_a_message_that_makes_no_sense_is_answered_with_what_would(site, ann, play, message, detail):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send(message)
        assert detail in (await page.until("error"))["detail"]
        await page.send({"type": "subscribe", "jobs": [41]})
        await page.until("job")

    play(story())


def test_a_page_watches_a_limited_number_of_things(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "jobs": list(range(1, MAX_SUBSCRIPTIONS + 2))})
        assert str(MAX_SUBSCRIPTIONS) in (await page.until("error"))["detail"]

    play(story())


def test_a_message_that_is_too_big_closes_the_socket(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send('{"type": "' + "x" * MAX_MESSAGE_BYTES + '"}')
        with pytest.raises(Closed) as closed:
            await page.until("never")
        assert closed.value.code == 4009
        assert closed.value.reason == "a message may have 16384 bytes"

    play(story())


def test_a_flood_of_messages_closes_the_socket(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        for _ in range(MAX_MESSAGES + 1):
            await page.send("{}")
        with pytest.raises(Closed) as closed:
            await page.until("never")
        assert closed.value.code == 4008

    play(story())
