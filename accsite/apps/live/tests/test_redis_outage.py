"""Redis may stop, freeze, lose its memory and come back; pages go on and nothing that matters is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator

import pytest
import redis
from channels.db import database_sync_to_async

from accsite.apps.live import frames, sender
from accsite.apps.live.services import bump
from accsite.apps.live.tests.conftest import Site
from accsite.apps.live.tests.socket_client import Socket

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module", autouse=True)
def healed() -> Iterator[None]:
    """Leave other files a site that has found Redis again: the pause between its attempts has grown to 2 s at most."""
    yield
    time.sleep(2.2)


async def _watch(site: Site, cookies: str) -> Socket:
    page = await site.open(cookies)
    await page.send({"type": "subscribe", "jobs": [41], "topics": {"registry": 0}})
    await page.until("versions")
    await page.until("job")
    return page


async def _frame_gets_through(page: Socket, seconds: float = 10.0) -> float:
    """Publish until a frame arrives; return how long that took."""
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        frames.publish(41, b"again")
        try:
            await page.frame(0.1)
        except TimeoutError:
            continue
        return time.perf_counter() - started
    pytest.fail("no frame came through")


def test_a_page_that_was_open_hears_frames_and_signals_again_after_a_restart(site, ann, play, redis_server):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await _watch(site, cookies)
        redis_server.stop()
        started = time.perf_counter()
        await database_sync_to_async(bump)("registry")
        frames.publish(41, b"lost")
        assert time.perf_counter() - started < 1, "Redis being down must cost the caller nothing"
        # The database makes good for what Redis could not carry, even while it is away.
        assert (await page.until("signal", seconds=5))["version"] == 1
        redis_server.start()
        await _frame_gets_through(page)
        await asyncio.sleep(2.2)  # the pause between attempts has grown to 2 s at most
        await page.hears_through_redis("registry")

    play(story())


def test_a_frozen_redis_delays_nobody_and_is_used_again_when_it_thaws(site, ann, play, redis_server):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await _watch(site, cookies)
        redis_server.pause()
        try:
            started = time.perf_counter()
            for _ in range(100):
                frames.publish(41, b"x")
            await database_sync_to_async(bump)("registry")
            assert time.perf_counter() - started < 1
            assert (await page.until("signal", seconds=5))["version"] == 1
        finally:
            redis_server.resume()
        await _frame_gets_through(page)

    play(story())


def test_a_redis_that_lost_its_memory_is_joined_again(site, ann, play, redis_server):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await _watch(site, cookies)
        client = redis.Redis.from_url(redis_server.url)
        client.flushall()
        client.close()
        await asyncio.sleep(2.2)
        await page.hears_through_redis("registry")

    play(story())


def test_a_page_can_be_opened_while_redis_is_away(site, ann, play, redis_server):
    cookies = site.cookies(ann)

    async def story() -> None:
        redis_server.stop()
        try:
            page = await _watch(site, cookies)
            await database_sync_to_async(bump)("registry")
            await page.until("signal", seconds=5)
        finally:
            redis_server.start()
        await _frame_gets_through(page)

    play(story())


def test_the_queue_of_the_sender_is_bounded_and_drops_the_oldest(settings, redis_server):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    mine = sender.Sender()
    for index in range(5000):
        mine.frame("41", str(index).encode())
        mine.signal(f"topic:{index}", 1, None)
    assert len(mine._frames) <= sender.MAX_FRAMES
    assert len(mine._signals) <= sender.MAX_SIGNALS
    assert mine.dropped > 0


def test_being_watched_draws_nothing_of_what_a_training_in_this_process_draws(site, ann, play):
    cookies = site.cookies(ann)
    mine = sender.Sender()

    async def story() -> None:
        page = await _watch(site, cookies)
        before = random.getstate()
        mine.signal("registry", 1, None)
        assert (await page.until("signal", seconds=5))["version"] == 1
        assert random.getstate() == before

    play(story())


def test_a_newer_signal_takes_the_place_of_one_that_waits(monkeypatch):
    mine = sender.Sender()
    # Nothing is sent, so that all of them wait.
    monkeypatch.setattr(mine, "_start", lambda: None)
    for version in (1, 3, 2):
        mine.signal("registry", version, None)
    assert [message["version"] for message in mine._signals.values()] == [3]
