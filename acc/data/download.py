"""Fetches a known file once: from the first mirror that has it, checked, and put in place whole or not at all.

What is fetched is known by its SHA-256 before a byte is asked for, so a mirror can be slow or gone, but not wrong.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any

from acc.data.generator import Progress, no_progress
from acc.errors import InvalidInput
from acc.hashes import file_sha256

_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class KnownFile:
    """A file by its content: SHA-256 in hex and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class _Patience:
    silence_seconds: float
    limit_seconds: float


class _Refused(Exception):
    """What one mirror sent is not the file."""


def fetch(
    urls: Sequence[str],
    path: Path,
    known: KnownFile,
    *,
    silence_seconds: float = 20.0,
    limit_seconds: float = 300.0,
    progress: Progress = no_progress,
) -> Path:
    """Return ``path``, holding the known file: as it lies there, or from the first of ``urls`` that gives it.

    silence_seconds: how long a mirror may say nothing. limit_seconds: how long one may take in all. ``progress``
    takes the fraction, and may raise to stop. Raises InvalidInput (download) saying what each mirror did; nothing
    is left behind then.
    """
    if path.is_file() and path.stat().st_size == known.size and file_sha256(path) == known.sha256:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput({"download": f"'{path.parent}' cannot be made: {error.strerror}"}) from error
    failures = []
    for url in urls:
        try:
            _from(url, path, known, _Patience(silence_seconds, limit_seconds), progress)
        except (_Refused, http.client.HTTPException, OSError, ValueError) as error:
            failures.append(f"{url}: {_why(error)}")
        else:
            return path
    raise InvalidInput({"download": f"'{path.name}' was not to be had. {'; '.join(failures) or 'No mirror'}"})


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a mirror only to http and https, and never from https to http."""

    def redirect_request(  # noqa: PLR0917 - as urllib calls it
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_scheme(newurl)
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise _Refused("it sends on from https to http")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _from(url: str, path: Path, known: KnownFile, patience: _Patience, progress: Progress) -> None:
    _check_scheme(url)
    opener = urllib.request.build_opener(_SafeRedirects)
    with opener.open(url, timeout=patience.silence_seconds) as answer:
        length = answer.headers.get("Content-Length")
        if length is not None and length != str(known.size):
            raise _Refused(f"offers {length} bytes instead of {known.size:,}")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            part = Path(file.name)
            try:
                _copy(answer, file, known, patience, progress)
                file.flush()
                os.fsync(file.fileno())
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise


def _copy(answer: Any, file: Any, known: KnownFile, patience: _Patience, progress: Progress) -> None:
    ends = time.monotonic() + patience.limit_seconds
    digest, size = hashlib.sha256(), 0
    while block := answer.read1(_BLOCK_BYTES):
        size += len(block)
        if size > known.size:
            raise _Refused(f"sends more than the {known.size:,} bytes of the file")
        if time.monotonic() > ends:
            raise _Refused(
                f"sent {size:,} of {known.size:,} bytes in {patience.limit_seconds:g} s and was given up"
            )
        digest.update(block)
        file.write(block)
        progress(size / known.size)
    if size < known.size:
        raise _Refused(f"stopped after {size:,} of {known.size:,} bytes")
    if digest.hexdigest() != known.sha256:
        raise _Refused(
            f"sent another file: its SHA-256 is {digest.hexdigest()[:16]}..., not {known.sha256[:16]}..."
        )


def _check_scheme(url: str) -> None:
    if not url.startswith(("https://", "http://")):
        raise _Refused("is no http or https address")


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(getattr(error.reason, "strerror", None) or error.reason)
    return str(error) or type(error).__name__
