"""Probes are answered without a user, a known host name or TLS."""

from __future__ import annotations

import pytest
from django.test import Client

pytestmark = pytest.mark.both_databases


def test_the_process_says_that_it_lives_even_to_a_stranger_with_a_strange_host(settings):
    settings.SECURE_SSL_REDIRECT = True
    response = Client().get("/healthz", HTTP_HOST="10.1.2.3:8000")
    assert (response.status_code, response.content) == (200, b"ok\n")
    assert response["Cache-Control"] == "no-store"


@pytest.mark.django_db
def test_it_is_ready_when_database_and_redis_answer(redis_url, redis_server):
    redis_server.start()
    response = Client().get("/readyz")
    assert (response.status_code, response.json()) == (200, {"database": "ok", "redis": "ok"})


@pytest.mark.django_db
def test_it_is_not_ready_without_redis_and_says_which_part_is_missing(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = Client().get("/readyz")
    assert (response.status_code, response.json()) == (503, {"database": "ok", "redis": "unreachable"})
