"""The form signs people in, sends them where they wanted to go, and stops those who guess."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from accsite.apps.access import services
from accsite.apps.access.models import SignInAttempt
from accsite.apps.access.selectors import client_address
from accsite.apps.access.tests.conftest import PASSWORD


def _try(name: str, password: str, browser: Client | None = None, **more):
    fields = {"username": name, "password": password, **more.pop("fields", {})}
    return (browser or Client()).post(reverse("access:sign-in"), fields, **more)


def test_the_right_password_leads_to_where_one_wanted_to_go(ann):
    browser = Client()
    response = browser.get("/profile/")
    assert response["Location"] == "/sign-in/?next=/profile/"
    response = _try("ann", PASSWORD, browser, fields={"next": "/profile/"})
    assert response["Location"] == "/profile/"
    assert browser.get("/profile/").status_code == 200


def test_nobody_is_sent_to_another_site(ann):
    assert _try("ann", PASSWORD, fields={"next": "https://evil.example/"})["Location"] == "/"


def test_a_wrong_password_is_answered_beside_the_form(ann):
    response = _try("ann", "wrong")
    assert response.status_code == 422
    assert b'role="alert"' in response.content
    assert b'value="ann"' in response.content
    assert b"wrong" not in response.content


def test_after_five_wrong_guesses_even_the_right_password_waits(ann):
    for _ in range(services.MAX_PER_NAME):
        assert _try("ann", "wrong").status_code == 422
    response = _try("ann", PASSWORD)
    assert response.status_code == 429
    assert response["Retry-After"] == "900"
    assert b"wait 15 minutes" in response.content


def test_guesses_for_one_name_count_from_whatever_addresses(ann, django_user_model):
    django_user_model.objects.create_user("bob", password=PASSWORD)
    for number in range(services.MAX_PER_NAME):
        name = "Ann" if number % 2 else "ann"
        assert _try(name, "wrong", REMOTE_ADDR=f"192.0.2.{number}").status_code == 422
    assert _try("ann", PASSWORD, REMOTE_ADDR="198.51.100.7").status_code == 429
    assert _try("bob", PASSWORD, REMOTE_ADDR="192.0.2.1").status_code == 302


def test_the_admin_has_no_door_of_its_own(ann):
    browser = Client()
    answer = browser.post("/admin/login/", {"username": "ann", "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in/?next=/admin/login/")
    assert "_auth_user_id" not in browser.session


def test_whoever_signs_in_forgets_no_guesses_of_others(ann):
    for number in range(services.MAX_PER_NAME - 1):
        _try("ann", "wrong", REMOTE_ADDR=f"192.0.2.{number}")
    assert _try("ann", PASSWORD).status_code == 302
    _try("ann", "wrong", REMOTE_ADDR="192.0.2.99")
    assert _try("ann", "wrong", REMOTE_ADDR="192.0.2.99").status_code == 429


def test_trying_many_names_from_one_address_is_stopped_too(ann):
    for index in range(services.MAX_PER_ADDRESS):
        assert _try(f"user{index}", "wrong").status_code == 422
    assert _try("ann", PASSWORD).status_code == 429


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.5", "127.0.0.1"),
        (1, "203.0.113.5", "203.0.113.5"),
        (1, "made-up, 203.0.113.5", "203.0.113.5"),
        (2, "made-up, 203.0.113.5, 10.0.0.1", "203.0.113.5"),
        (2, "10.0.0.1", "127.0.0.1"),
        (1, "", "127.0.0.1"),
    ],
)
def test_behind_proxies_the_address_is_the_one_that_ours_saw(rf, settings, proxies, forwarded, address):
    settings.ACC_PROXIES = proxies
    assert client_address(rf.get("/", headers={"X-Forwarded-For": forwarded})) == address


def test_waiting_helps_and_success_forgets_the_failures(ann):
    for _ in range(services.MAX_PER_NAME + 3):
        _try("ann", "wrong")
    for attempt in SignInAttempt.objects.all():
        attempt.at -= services.WINDOW + timedelta(seconds=1)
        attempt.save()
    assert _try("ann", PASSWORD).status_code == 302
    assert not SignInAttempt.objects.exists()


def test_names_that_were_tried_are_not_stored_in_clear(ann):
    _try("my-password-by-mistake", "x")
    assert "mistake" not in str(SignInAttempt.objects.values().get())


def test_signing_out_takes_a_post(ann):
    browser = Client()
    browser.force_login(ann)
    assert browser.get(reverse("access:sign-out")).status_code == 405
    assert browser.post(reverse("access:sign-out"))["Location"] == reverse("access:sign-in")
    assert browser.get("/profile/").status_code == 302


def test_a_form_of_another_site_is_refused(ann):
    assert _try("ann", PASSWORD, Client(enforce_csrf_checks=True)).status_code == 403


@pytest.mark.parametrize("path", ["/", "/profile/", "/api/docs/", "/api/docs/redoc/", "/admin/"])
def test_every_page_asks_for_a_user(db, path):
    response = Client().get(path)
    assert response.status_code in {302, 401, 403}


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1/schema/", "/api/v1/no-such-thing/"])
def test_the_api_answers_strangers_with_a_problem(db, path):
    response = Client().get(path)
    assert response.status_code in {401, 403}
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code


def test_the_administration_has_no_door_of_its_own(ann):
    browser = Client()
    door = browser.get("/admin/", follow=True).redirect_chain[-1][0]
    assert door.startswith("/sign-in/?next=/admin/login/")
    browser.force_login(ann)
    assert browser.get("/admin/", follow=True).status_code == 403
    ann.is_staff = ann.is_superuser = True
    ann.save()
    assert browser.get("/admin/login/", follow=True).redirect_chain[-1][0] == "/admin/"
