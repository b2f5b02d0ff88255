"""Frames of points arrive at every page that watches the job, in order."""

from __future__ import annotations

import asyncio
import struct

import numpy as np
import pytest

from acc import wire
from accsite.apps.live import frames

pytestmark = pytest.mark.one_database

FRAMES = 60


def test_fifty_pages_get_every_frame_in_order(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        pages = [await site.open(cookies) for _ in range(50)]
        for page in pages:
            await page.send({"type": "subscribe", "jobs": [41]})
        for page in pages:
            await page.until("job")
        readers = [asyncio.create_task(_collect(page, FRAMES)) for page in pages]
        for index in range(FRAMES):
            frames.publish(41, struct.pack("<I", index) + b"x" * 2000)
            await asyncio.sleep(0.02)
        for seen in await asyncio.gather(*readers):
            assert seen == list(range(FRAMES))

    play(story())


async def _collect(page, count: int) -> list[int]:
    return [struct.unpack("<I", (await page.frame(20))[:4])[0] for _ in range(count)]


def test_a_page_gets_the_frames_of_its_own_jobs_only(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "jobs": [41]})
        await page.until("job")
        frames.publish(4, b"not mine")
        frames.publish(41, b"mine")
        assert await page.frame() == b"mine"

    play(story())


def test_a_frame_arrives_as_the_bytes_that_were_sent(site, ann, play):
    cookies = site.cookies(ann)
    values = np.array([[1.5, -2.25, np.nan]], dtype=np.float32)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "jobs": [41]})
        await page.until("job")
        frames.publish(41, wire.encode({"seq": 1, "series": ["total"]}, values))
        header, columns = wire.decode(await page.frame())
        assert header["seq"] == 1
        np.testing.assert_array_equal(columns, values)

    play(story())


@pytest.mark.django_db
def test_publishing_without_redis_returns_at_once(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    for _ in range(1000):
        frames.publish(41, b"x" * 4000)
