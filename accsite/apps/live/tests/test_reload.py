"""A page that is reloaded, the only one there is, hears as quickly as before."""

from __future__ import annotations

from accsite.apps.live import frames


def test_the_only_page_may_be_reloaded_again_and_again(site, ann, play):
    cookies = site.cookies(ann)

    async def story() -> None:
        page = None
        for index in range(10):
            if page is not None:
                await page.close()
            page = await site.open(cookies)
            await page.send({"type": "subscribe", "topics": {"registry": 0}, "jobs": [41]})
            await page.until("job")
            frames.publish(41, str(index).encode())
            assert await page.frame() == str(index).encode()
            await page.hears_through_redis("registry")

    play(story())
