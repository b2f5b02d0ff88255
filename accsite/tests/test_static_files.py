"""Static files are served under ASGI from where they lie, without collectstatic and without a warning."""

from __future__ import annotations

import asyncio
import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import AsyncClient

from accsite.keptfiles import KeptFiles
from accsite.minify import minified

pytestmark = pytest.mark.one_database

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


def test_a_browser_keeps_what_has_its_version_in_its_address_and_asks_again_for_what_is_edited():
    assert "immutable" in _get("/static/vendor/inter/5.3.0/inter.woff2")["Cache-Control"]
    assert "immutable" not in _get("/static/css/app.css")["Cache-Control"]


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


@pytest.mark.parametrize("name", ["js/points.js", "css/app.css"])
def test_our_own_scripts_and_styles_are_served_without_comments(name: str):
    found = finders.find(name)
    assert found
    source = Path(found).read_bytes()
    response = _get(f"/static/{name}", Range="bytes=0-9")
    assert response.status_code == 200
    assert len(response.content) < 0.9 * len(source)
    assert int(response["Content-Length"]) == len(response.content)
    assert b"\n\t" not in response.content
    again = _get(f"/static/{name}", **{"If-Modified-Since": response["Last-Modified"]})
    assert (again.status_code, again.content) == (304, b"")


def test_collected_scripts_are_minified_and_named_by_what_is_served(tmp_path: Path, settings):
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "accsite.staticstorage.HashedStorage"},
    }
    call_command("collectstatic", interactive=False, verbosity=0)
    manifest = json.loads((tmp_path / "staticfiles.json").read_text())["paths"]
    served = (tmp_path / manifest["js/workbench.js"]).read_text()
    assert f"./{Path(manifest['js/points.js']).name}" in served
    assert "\n\t" not in served
    vendored = "vendor/uplot/1.6.32/uPlot.iife.min.js"
    source = finders.find(vendored)
    assert source
    assert (tmp_path / manifest[vendored]).read_bytes() == Path(source).read_bytes()


def test_a_style_of_what_lies_within_stays_one():
    source = b"@layer a {\n\t.tasks :is(.more, li) { color: red; }\n\t.tasks:is(ul) { color: blue; }\n}\n"
    assert minified("css/one.css", source) == (
        b"@layer a{.tasks *:is(.more,li){color:red}.tasks:is(ul){color:blue}}"
    )


@pytest.mark.parametrize("path", [PATH, "/static/css/app.css", "/static/js/app.js"])
def test_a_style_or_script_is_compressed_for_who_can_read_it_and_may_be_asked_for_again(path: str):
    plain = _get(path)
    packed = _get(path, **{"Accept-Encoding": "gzip, br"})
    assert (packed["Content-Encoding"], packed["Vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(packed.content) == plain.content
    assert int(packed["Content-Length"]) == len(packed.content) < len(plain.content) / 2
    again = _get(path, **{"Accept-Encoding": "gzip", "If-None-Match": packed["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_part_of_a_file_is_not_compressed():
    response = _get(PATH, **{"Range": "bytes=0-999", "Accept-Encoding": "gzip"})
    assert (response.status_code, len(response.content)) == (206, 1000)
    assert "Content-Encoding" not in response


@pytest.mark.django_db(transaction=True)
def test_a_page_is_compressed_by_another_length_each_time():
    """Else the length of a page would tell, guess by guess, what it holds."""
    pages = [_get("/sign-in/", **{"Accept-Encoding": "gzip"}) for _ in range(12)]
    assert {page["Content-Encoding"] for page in pages} == {"gzip"}
    assert b"csrfmiddlewaretoken" in gzip.decompress(pages[0].content)
    assert len({len(page.content) for page in pages}) > 2


def test_the_icon_is_found_without_signing_in(client):
    response = client.get("/favicon.ico")
    assert (response.status_code, response["Location"]) == (302, "/static/favicon.svg")


def test_an_answer_that_is_kept_is_the_one_that_was_given_until_the_file_changes(tmp_path: Path, settings):
    file = tmp_path / "mine.js"
    file.write_text("export const one = 1;\n" * 40)
    settings.STATICFILES_DIRS = [tmp_path, *settings.STATICFILES_DIRS]
    asked: list[str] = []

    async def django(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        body = file.read_bytes()
        headers = [(b"ETag", b'"%d"' % len(body)), (b"Vary", b"Accept-Encoding"), (b"X-Request-ID", b"first")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    kept = KeptFiles(django)

    def ask(**headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "GET", "path": "/static/mine.js", "headers": pairs}
        asyncio.run(kept(scope, None, send))  # type: ignore[arg-type]
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]

    first, again = ask(), ask()
    assert len(asked) == 1
    assert first[2] == again[2] == file.read_bytes()
    assert again[1][b"X-Request-ID"] != first[1][b"X-Request-ID"]
    tag = first[1][b"ETag"].decode()
    assert ask(if_none_match=tag, if_modified_since="Mon, 30 Nov 2026 11:35:22 GMT")[0::2] == (304, b"")
    assert ask(if_none_match='"other"')[0] == 200
    before = len(asked)
    assert ask(range="bytes=0-3")[0] == 200
    assert len(asked) == before + 1, "a part is Django's to answer"
    file.write_text("export const two = 2;\n" * 41)
    assert ask()[2] == file.read_bytes()
    assert ask(if_none_match=tag)[0] == 200
