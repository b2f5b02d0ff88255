"""Every answer carries the security headers; the policy is relaxed at two addresses and nowhere else."""

from __future__ import annotations

import pytest
from django.test import Client

STRICT = {
    "default-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "object-src": "'none'",
}


def _policy(response) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in response["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


@pytest.mark.parametrize(
    "path", ["/sign-in/", "/no/such/page/", "/api/v1/", "/administration/", "/healthz/x"]
)
def test_the_policy_is_strict(db, path):
    assert _policy(Client().get(path)) == STRICT


def test_the_administration_may_evaluate_what_its_theme_is_written_in(admin_client):
    policy = _policy(admin_client.get("/admin/"))
    assert policy.pop("script-src") == "'self' 'unsafe-eval'"
    assert policy.pop("style-src") == "'self' 'unsafe-inline'"
    assert policy == STRICT


@pytest.mark.parametrize("path", ["/api/docs/", "/api/docs/redoc/"])
def test_the_documentation_runs_no_script_but_ours(admin_client, path):
    response = admin_client.get(path)
    policy = _policy(response)
    assert policy.pop("img-src") == "'self' data:"
    assert ("style-src" in policy) == ("redoc" in path)
    policy.pop("style-src", None)
    assert policy == STRICT
    assert b"https://" not in response.content
    assert b"<script>" not in response.content


def test_answers_are_not_sniffed_framed_or_referred(db):
    response = Client().get("/sign-in/")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"


def test_an_answer_names_its_request(db):
    assert Client().get("/sign-in/", headers={"X-Request-ID": "abcdef-123"})["X-Request-ID"] == "abcdef-123"
    made = Client().get("/sign-in/", headers={"X-Request-ID": "bad id\n"})["X-Request-ID"]
    assert len(made) == 32
