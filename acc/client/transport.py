"""HTTP to the API: a token, JSON, problem details as exceptions, and a second try where it does no harm."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from acc.client.multipart import Multipart
from acc.errors import AccError

R = TypeVar("R")
RETRIES = 3
PAUSE_SECONDS = 0.3
PAGE = 100


class ApiError(AccError):
    """What the site refused. ``status``: HTTP; ``fields``: field -> sentences, empty where none is to blame."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.title = str(problem.get("title", "Error"))
        self.fields: dict[str, list[str]] = dict(problem.get("errors") or {})
        super().__init__(f"{status} {self.title}: {problem.get('detail') or 'no details'}")


class Unreachable(AccError):
    """The site did not answer."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token to another place."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return nothing, which makes it an error."""


class Transport:
    """Requests below ``<url>/api/v1/``."""

    def __init__(self, url: str, token: str, *, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError(f"url is {url!r}; give the address of a site, such as http://127.0.0.1:8000")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("the token holds characters that no token has; copy it again")
        self.url, self.token, self.timeout = url.rstrip("/"), token, timeout
        self._opener = urllib.request.build_opener(_NoRedirect())

    def json(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Return the JSON answer; None for an empty one."""
        data = self.send(method, path, body, **query)
        return json.loads(data) if data else None

    def submit(self, path: str, body: Any, key: str | None) -> Any:
        """Return the JSON answer of a request that starts work, which is done once however often it is sent."""
        return json.loads(self.send("POST", path, body, headers={"Idempotency-Key": key or uuid4().hex}))

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """Yield the rows of a list, page by page."""
        offset = 0
        while True:
            page = self.json("GET", path, limit=PAGE, offset=offset, **query)
            yield from page["results"]
            offset += len(page["results"])
            if not page["results"] or page["next"] is None:
                return

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> bytes:
        """Return the bytes of an answer. Raises ApiError for a refusal, Unreachable when there is no answer."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = {} if data is None else {"Content-Type": "application/json"}
        return self._ask(method, path, data, headers={**kind, **(headers or {})}, query=query, read=_whole)

    def download(self, path: str, target: Path) -> None:
        """Write an answer to a file, which appears only when it is whole."""

        def write(answer: IO[bytes]) -> None:
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as file:
                try:
                    shutil.copyfileobj(answer, file)
                    file.close()
                    Path(file.name).replace(target)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise

        self._ask("GET", path, headers={"Accept": "*/*"}, read=write)

    def upload(self, path: str, form: Multipart, key: str | None) -> Any:
        """Return the JSON answer to a form with files, which is taken once however often it is sent."""
        headers = {"Idempotency-Key": key or uuid4().hex, **form.headers}
        return json.loads(self._ask("POST", path, form, headers=headers, read=_whole))

    def post_bytes(self, path: str, data: bytes, **query: Any) -> Any:
        """Return the JSON answer to bytes as they are; sent once, since who sends them knows what came before."""
        headers = {"Content-Type": "application/octet-stream"}
        return json.loads(self._ask("POST", path, data, headers=headers, query=query, read=_whole))

    def _ask(
        self,
        method: str,
        path: str,
        data: bytes | Multipart | None = None,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, Any] | None = None,
        read: Callable[[IO[bytes]], R],
    ) -> R:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        address = f"{self.url}/api/v1/{path}" + (f"?{urlencode(given)}" if given else "")
        sent = {"Authorization": f"Token {self.token}", "Accept": "application/json", **headers}
        tries = RETRIES if method in {"GET", "DELETE", "PATCH"} or "Idempotency-Key" in sent else 1
        for attempt in range(1, tries + 1):
            body: Any = data
            request = urllib.request.Request(address, body, sent, method=method)  # noqa: S310 - checked above
            try:
                with self._opener.open(request, timeout=self.timeout) as answer:
                    return read(answer)
            except urllib.error.HTTPError as error:
                raise ApiError(error.code, _problem(error.read())) from None
            except OSError as error:
                if attempt == tries:
                    raise Unreachable(f"{self.url} does not answer: {error}") from error
            time.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError("the last try returns or raises")


def _whole(answer: IO[bytes]) -> bytes:
    return answer.read()


def _problem(data: bytes) -> Mapping[str, Any]:
    try:
        problem = json.loads(data)
    except ValueError:
        return {"detail": "the answer is no problem detail; is this the address of an ACC site?"}
    return problem if isinstance(problem, Mapping) else {"detail": str(problem)}
