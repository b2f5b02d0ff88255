"""Static files are served under ASGI from where they lie, without collectstatic and without a warning."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import AsyncClient

PATH = "/static/admin/css/base.css"


def _get(path: str, **headers: str):
    async def ask():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return await AsyncClient().get(path, headers=headers)

    return asyncio.run(ask())


def test_a_file_is_served_whole_with_its_type_and_may_be_asked_for_again():
    found = finders.find("admin/css/base.css")
    assert found
    expected = Path(found).read_bytes()
    response = _get(PATH)
    assert (response.status_code, response.content) == (200, expected)
    assert response["Content-Type"] == 'text/css; charset="utf-8"'
    assert int(response["Content-Length"]) == len(expected)
    assert "Access-Control-Allow-Origin" not in response
    again = _get(PATH, **{"If-Modified-Since": response["Last-Modified"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_part_of_a_file_can_be_asked_for():
    response = _get(PATH, Range="bytes=0-9")
    assert (response.status_code, len(response.content)) == (206, 10)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "path",
    [
        "/static/none.css",
        "/static/../settings/base.py",
        "/static/%2e%2e/settings/base.py",
        "/static//etc/passwd",
    ],
)
def test_nothing_else_is_served(path):
    response = _get(path)
    assert response.status_code in {302, 404}
    assert b"SECRET_KEY" not in response.content
    assert b"root:" not in response.content
