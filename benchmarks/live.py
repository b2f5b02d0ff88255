"""From a worker to the browsers: a frame's cost to its publisher, and how long it takes to ten open pages."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.platform_under_test import site, started
from benchmarks.rows import Row, median, report

PAGES = 10
FRAMES = 200
FRAMES_PER_SECOND = 20
FRAME_BYTES = 2048


@contextmanager
def web(home: Path) -> Iterator[int]:
    """Yield the port of a running daphne with the site's own settings."""
    from accsite.supervisor.processes import table
    from accsite.supervisor.redis import free_port

    port = free_port()
    process = next(item for item in table(port=port) if item.name == "web")
    with started(process.command, home / "web.log", ready=lambda: _answers(port)):
        yield port


def _answers(port: int) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
            return True
    except OSError:
        return False


async def through_the_site(
    port: int, cookies: str, job: int, pages: int
) -> tuple[list[float], list[float], int]:
    """Return ms per frame to a page, µs per frame for its publisher, and the number of frames delivered."""
    from accsite.apps.live import frames
    from accsite.apps.live.tests.socket_client import open_socket

    sockets = [await open_socket(port, cookies=cookies) for _ in range(pages)]
    for socket in sockets:
        await socket.send({"type": "subscribe", "jobs": [job]})
        await socket.until("job")
    took: list[float] = []

    async def read(socket: Any) -> None:
        for _ in range(FRAMES):
            (sent,) = struct.unpack("<d", (await socket.frame(10))[:8])
            took.append(1000 * (time.perf_counter() - sent))

    readers = [asyncio.create_task(read(socket)) for socket in sockets]
    published: list[float] = []
    for _ in range(FRAMES):
        payload = struct.pack("<d", time.perf_counter()) + bytes(FRAME_BYTES)
        started = time.perf_counter()
        frames.publish(job, payload)
        published.append(1e6 * (time.perf_counter() - started))
        await asyncio.sleep(1 / FRAMES_PER_SECOND)
    await asyncio.wait(readers, timeout=10)
    return took, published, len(took)


async def through_redis_alone(url: str) -> list[float]:
    """Return ms per frame from one Redis client to another, without a site between them."""
    import redis.asyncio

    sender, receiver = redis.asyncio.Redis.from_url(url), redis.asyncio.Redis.from_url(url)
    took: list[float] = []
    async with receiver.pubsub() as subscription:
        await subscription.subscribe("bench")
        for _ in range(FRAMES):
            sent = time.perf_counter()
            await sender.publish("bench", bytes(FRAME_BYTES))
            while await subscription.get_message(ignore_subscribe_messages=True, timeout=1) is None:
                pass
            took.append(1000 * (time.perf_counter() - sent))
    await sender.aclose()
    await receiver.aclose()
    return took


def signed_in_with_a_job() -> tuple[str, int]:
    """Return the cookies of a signed-in browser and the id of a job that it may see."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    from accsite.apps.jobs.models import Job

    user = User.objects.create_superuser("bench")
    job = Job.objects.create(kind="train", queue="train", title="bench", spec={}, created_by=user)
    browser = Client()
    browser.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}", job.pk


def main() -> None:
    """Measure at ten pages and at one hundred, and print the rows."""
    with site() as home:
        cookies, job = signed_in_with_a_job()
        with web(home) as port:
            alone = asyncio.run(through_redis_alone(os.environ["REDIS_URL"]))
            took, published, _ = asyncio.run(through_the_site(port, cookies, job, PAGES))
            many, _, delivered = asyncio.run(through_the_site(port, cookies, job, 10 * PAGES))
    took.sort()
    share = delivered / (10 * PAGES * FRAMES)
    told = (
        f"p95 {took[int(0.95 * len(took))]:.1f} ms; to {10 * PAGES} pages p50 {median(many):.0f} ms, "
        f"{100 * share:.0f} % delivered"
    )
    baseline = f"Redis alone {median(alone):.2f} ms"
    report(Row(f"frame to {PAGES} open pages, p50", median(took), "ms", 10, "lower", told, baseline))
    told = f"{FRAMES} frames of {FRAME_BYTES} bytes, {FRAMES_PER_SECOND} a second"
    report(Row("publishing a frame, p50", median(published), "us", 500, "lower", told))


if __name__ == "__main__":
    main()
