"""Who may open a socket, and what it may hear; asked again at every event."""

from __future__ import annotations

import pytest
from channels.db import database_sync_to_async
from django.contrib.sessions.models import Session

from accsite.apps.live import frames
from accsite.apps.live.services import bump
from accsite.apps.live.tests.socket_client import Closed, Refused


def _status(site, play, **how) -> int:
    async def story() -> None:
        page = await site.open(**how)
        await page.close()

    with pytest.raises(Refused) as refused:
        play(story())
    return refused.value.status


def test_nobody_opens_a_socket_without_signing_in(site, play):
    assert _status(site, play, cookies="") == 403
    assert _status(site, play, cookies="sessionid=made-up") == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9", "http://localhost", "null", None]
)
def test_a_page_of_another_site_opens_no_socket_even_with_the_users_cookies(site, ann, play, origin):
    assert _status(site, play, cookies=site.cookies(ann), origin=origin) == 403


def test_there_is_no_socket_at_another_address(site, ann, play):
    assert _status(site, play, cookies=site.cookies(ann), path="/ws/other/") == 403


def test_a_job_that_may_not_be_seen_looks_like_one_that_does_not_exist(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "jobs": [41, 42], "topics": ["job:42", "nonsense"]})
        refusals = [await page.until("refused") for _ in range(3)]
        reasons = {str(refusal.get("job", refusal.get("topic"))): refusal["reason"] for refusal in refusals}
        assert reasons["42"] == reasons["job:42"] == "it does not exist, or you may not see it"
        assert "there is no topic 'nonsense'; known are:" in reasons["nonsense"]
        assert (await page.until("job"))["id"] == 41

    play(story())


def test_frames_and_states_end_when_the_permission_does(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = await site.open(cookies)
        await page.send({"type": "subscribe", "jobs": [41], "topics": ["job:41"]})
        await page.until("job")
        frames.publish(41, b"one")
        assert await page.frame() == b"one"
        await database_sync_to_async(ann.groups.clear)()
        await database_sync_to_async(bump)("job:41")
        refused = [await page.until("refused") for _ in range(2)]
        assert {(message.get("topic"), message.get("job")) for message in refused} == {
            ("job:41", None),
            (None, 41),
        }
        frames.publish(41, b"two")
        with pytest.raises(TimeoutError):
            await page.frame(2.5)

    play(story())


def test_signing_out_closes_the_sockets_of_that_browser_only(site, ann, play):
    mine, other = site.cookies(ann), site.cookies(ann)

    async def story() -> None:
        page, elsewhere = await site.open(mine), await site.open(other)
        await database_sync_to_async(Session.objects.filter(session_key=mine.split("=")[1]).delete)()
        with pytest.raises(Closed) as closed:
            await page.until("never", seconds=10)
        assert closed.value.code == 4401
        await elsewhere.until("ping")

    play(story())
