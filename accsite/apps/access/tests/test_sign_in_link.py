"""A one-time link signs in the person who follows it, once, and is used up by nothing else."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from acc.errors import InvalidInput
from accsite.apps.access import services
from accsite.apps.access.models import SignInLink

pytestmark = pytest.mark.both_databases

# What a browser says when a person opens a link from a terminal, or types it.
FOLLOWED = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}


def _address(user: User, minutes: int = 15) -> str:
    return reverse("access:link", args=[services.make_sign_in_link(user, minutes)])


def _signed_in(browser: Client) -> bool:
    return "_auth_user_id" in browser.session


def test_following_the_link_signs_the_browser_in_with_one_request(ann):
    browser = Client()
    response = browser.get(_address(ann), headers=FOLLOWED)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert response["Cache-Control"].startswith("max-age=0")
    assert _signed_in(browser)


def test_a_link_works_once(ann):
    address = _address(ann)
    Client().get(address, headers=FOLLOWED)
    browser = Client()
    response = browser.get(address, headers=FOLLOWED)
    assert response.status_code == 410
    assert b"manage.py sign_in_link" in response.content
    assert not _signed_in(browser)


def test_going_back_to_a_used_link_in_the_same_browser_leads_on(ann):
    browser, address = Client(), _address(ann)
    browser.get(address, headers=FOLLOWED)
    assert browser.get(address, headers=FOLLOWED).status_code == 302


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**FOLLOWED, "Sec-Purpose": "prefetch"},
        {**FOLLOWED, "Sec-Purpose": "prefetch;prerender"},
        {**FOLLOWED, "Purpose": "prefetch"},
        {**FOLLOWED, "Sec-Fetch-Site": "cross-site"},
        {**FOLLOWED, "Sec-Fetch-Dest": "iframe"},
        {**FOLLOWED, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ],
)
def test_fetching_the_link_without_following_it_uses_nothing_up(ann, headers):
    browser, address = Client(), _address(ann)
    response = browser.get(address, headers=headers)
    assert response.status_code == 200
    assert b'<form method="post">' in response.content
    assert not _signed_in(browser)
    browser.get(address, headers=FOLLOWED)
    assert _signed_in(browser)


def test_head_uses_nothing_up(ann):
    browser, address = Client(), _address(ann)
    assert browser.head(address, headers=FOLLOWED).status_code == 200
    assert not _signed_in(browser)
    assert SignInLink.objects.get().used_at is None


def test_the_button_signs_in_and_needs_its_own_form(ann):
    address = _address(ann)
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(address).status_code == 403
    first = strict.get(address)
    # Browsers send "Origin: null" from a page without referrer, and its own form would be refused.
    assert first["Referrer-Policy"] == "same-origin"
    page = first.content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    response = strict.post(address, {"csrfmiddlewaretoken": token[1]})
    assert response.status_code == 302
    assert _signed_in(strict)


def test_an_expired_an_unknown_and_a_switched_off_link_are_refused(ann):
    address = _address(ann)
    SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Client().get(address, headers=FOLLOWED).status_code == 410
    assert Client().get(reverse("access:link", args=["made-up"]), headers=FOLLOWED).status_code == 410
    other = _address(ann)
    User.objects.update(is_active=False)
    assert Client().get(other, headers=FOLLOWED).status_code == 410


def test_the_token_is_stored_as_a_hash_only(ann):
    token = services.make_sign_in_link(ann)
    row = SignInLink.objects.values().get()
    assert len(token) >= 43
    assert token not in str(row)


@pytest.mark.django_db(transaction=True)
def test_of_many_requests_at_once_exactly_one_is_signed_in():
    ann = User.objects.create_user("ann")
    token = services.make_sign_in_link(ann)

    def consume(_: int) -> bool:
        try:
            return services.consume_link(token) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(consume, range(24))) == 1


@pytest.mark.parametrize("minutes", [0, -1, 10081])
def test_a_link_may_not_live_for_ever(ann, minutes):
    with pytest.raises(InvalidInput, match=f"minutes: {minutes} is not allowed; use 1 to 10080"):
        services.make_sign_in_link(ann, minutes)


def test_the_command_prints_a_link_that_works(ann):
    User.objects.create_superuser("root")
    out = StringIO()
    call_command("sign_in_link", "--site", "http://127.0.0.1:9999/", stdout=out)
    link = out.getvalue().strip()
    assert link.startswith("http://127.0.0.1:9999/sign-in/link/")
    browser = Client()
    browser.get(link.removeprefix("http://127.0.0.1:9999"), headers=FOLLOWED)
    assert browser.session["_auth_user_id"] == str(User.objects.get(username="root").pk)


def test_the_command_names_the_users_there_are(ann, capsys):
    for words, sentence in (
        (["bob"], "there is no user 'bob'; users are: ann"),
        ([], "there is no active administrator; users are: ann; `manage.py createsuperuser` makes one"),
    ):
        with pytest.raises(SystemExit) as end:
            call_command("sign_in_link", *words)
        assert end.value.code == 2
        assert f"error: user: {sentence}" in capsys.readouterr().err
