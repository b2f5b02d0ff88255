"""A change in the database becomes a signal on every page that watches it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db import connection, transaction

from accsite.apps.live import selectors
from accsite.apps.live.models import Topic
from accsite.apps.live.services import bump

pytestmark = pytest.mark.both_databases

in_thread = database_sync_to_async


def test_a_signal_reaches_a_page_with_its_version_and_data(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "topics": {"registry": 0}})
        assert await page.until("versions") == {"type": "versions", "topics": {"registry": 0}}
        signal = await page.hears_through_redis("registry")
        assert signal == {
            "type": "signal",
            "topic": "registry",
            "version": int(signal["data"]["added"]) + 1,
            "data": signal["data"],
        }

    play(story())


def test_nothing_is_signalled_when_the_transaction_is_rolled_back(site, ann, play):
    cookies = site.cookies(ann)

    def fails() -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            bump("registry")
            raise RuntimeError

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "topics": {"registry": 0}})
        await page.until("versions")
        await in_thread(fails)()
        with pytest.raises(TimeoutError):
            await page.until("signal", seconds=2.5)

    play(story())


def test_a_page_that_was_away_learns_the_versions_it_missed(site, ann, play):
    cookies = site.cookies(ann)
    bump("registry")
    bump("registry", "datasets")

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "topics": {"registry": 1, "datasets": 1}})
        versions = await page.until("versions")
        assert versions["topics"] == {"registry": 2, "datasets": 1}

    play(story())


def test_a_signal_that_was_lost_is_made_good_at_the_next_ping(site, ann, play):
    cookies = site.cookies(ann)

    def silently() -> None:
        Topic.objects.create(name="registry", version=4)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "topics": {"registry": 0}})
        await page.until("versions")
        await in_thread(silently)()
        assert (await page.until("signal", seconds=5))["version"] == 4

    play(story())


def test_a_page_hears_nothing_of_topics_it_left(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "topics": ["registry", "datasets"]})
        await page.until("versions")
        await page.send({"type": "unsubscribe", "topics": ["registry"]})
        await page.send({"type": "subscribe", "topics": ["datasets"]})
        await page.until("versions")
        await in_thread(bump)("registry", "datasets")
        assert (await page.until("signal"))["topic"] == "datasets"
        with pytest.raises(TimeoutError):
            await page.until("signal", seconds=2.5)

    play(story())


def test_the_state_of_a_watched_job_comes_at_once_on_change_and_with_every_ping(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "jobs": [41]})
        first = await page.until("job")
        assert (first["id"], first["step"]) == (41, 0)
        at_once = False
        for version in range(1, 6):
            await page.until("ping")
            await in_thread(bump)("job:41")
            seen = await page.receive()
            while seen["type"] == "job" and seen["step"] < version:
                seen = await page.receive()
            at_once = at_once or seen["type"] == "job"
            await page.until("job", step=version)
        assert at_once, "the state comes with the pings only"
        await page.until("ping")
        await page.until("job", step=5)

    play(story())


@pytest.mark.django_db(transaction=True)
def test_no_bump_is_lost_when_many_come_at_once():
    def twenty(_: int) -> None:
        try:
            for _index in range(20):
                bump("registry", "jobs")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(twenty, range(4)))
    assert selectors.versions(["registry", "jobs", "never"]) == {"registry": 80, "jobs": 80, "never": 0}


@pytest.mark.django_db
def test_bump_answers_with_the_new_versions():
    assert bump("b", "a", "a") == {"a": 1, "b": 1}
    assert bump("a") == {"a": 2}
    assert bump() == {}


def test_users_that_are_switched_off_hear_nothing(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "topics": {"registry": 0}})
        await page.until("versions")
        await in_thread(User.objects.filter(pk=ann.pk).update)(is_active=False)
        await in_thread(bump)("registry")
        assert (await page.until("refused"))["topic"] == "registry"

    play(story())
