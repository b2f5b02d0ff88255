"""One's own tokens over HTTP: made by a signed-in browser, listed and revoked by oneself alone."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db
URL = "/api/v1/tokens/"


@pytest.fixture
def browser(django_user_model: Any) -> APIClient:
    client = APIClient()
    client.force_login(django_user_model.objects.create_user("ada"))
    return client


def holder(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def test_a_token_is_made_shown_once_used_and_revoked(browser: APIClient) -> None:
    made = browser.post(URL, {"name": "laptop", "scope": "write", "days": 3}, format="json")
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    program = holder(made.json()["token"])
    me = program.get("/api/v1/me/").json()
    assert (me["username"], me["roles"], me["token"]["name"]) == ("ada", ["researcher"], "laptop")
    listed = browser.get(URL).json()["results"]
    assert [row["key"] for row in listed] == [made.json()["key"]]
    assert "token" not in listed[0]
    assert program.delete(f"{URL}{made.json()['id']}/").status_code == 204
    assert program.get("/api/v1/me/").status_code == 401


def test_a_token_makes_no_other_token(browser: APIClient) -> None:
    made = browser.post(URL, {"name": "laptop", "scope": "write", "days": 1}, format="json").json()
    refused = holder(made["token"]).post(URL, {"name": "longer", "days": 3650}, format="json")
    assert refused.status_code == 403
    assert "may not make another" in refused.json()["detail"]


def test_what_is_no_token_is_refused_by_field(browser: APIClient) -> None:
    answer = browser.post(URL, {"scope": "all", "days": 0}, format="json")
    assert (answer.status_code, set(answer.json()["errors"])) == (422, {"name", "scope", "days"})


def test_tokens_of_others_are_not_found(browser: APIClient, django_user_model: Any) -> None:
    made = browser.post(URL, {"name": "laptop"}, format="json").json()
    other = APIClient()
    other.force_login(django_user_model.objects.create_user("bob"))
    assert other.get(URL).json()["count"] == 0
    assert other.delete(f"{URL}{made['id']}/").status_code == 404
