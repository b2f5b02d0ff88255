"""A Chromium in which somebody is signed in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def signed_in_page(port: int) -> Iterator[Any]:
    """Yield a page of the site at ``port`` in which an administrator is signed in."""
    from django.contrib.auth import get_user_model
    from playwright.sync_api import sync_playwright

    from accsite.apps.access.services import make_sign_in_link
    from scripts.chromium import ensure

    token = make_sign_in_link(get_user_model().objects.create_superuser("bench"), minutes=5)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(ensure()), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/sign-in/link/{token}/")
        if page.locator("form button").count() and "/sign-in/" in page.url:
            page.locator("form button").first.click()
        yield page
        browser.close()
