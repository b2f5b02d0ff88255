"""The site in a process of its own, on the database and the Redis of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from accsite.supervisor.redis import free_port

ROOT = Path(__file__).resolve().parents[1]


def database_url() -> str:
    """Return the URL of the test database, for another process."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


@contextmanager
def serving(
    folder: Path, application: str, django_db_blocker: Any
) -> Iterator[tuple[int, subprocess.Popen[bytes], Path]]:
    """Run daphne with ``application``, which pings every second; yields its port, its process and its log."""
    with django_db_blocker.unblock():
        url = database_url()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "accsite.settings.test",
        "DATABASE_URL": url,
        "REDIS_URL": settings.REDIS_URL,
        "ACC_HOME": str(folder),
        "ACC_PING_SECONDS": "1",
    }
    port, log = free_port(), folder / "daphne.log"
    command = [sys.executable, "-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port), application]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        wait_for_site(port, process, log)
        yield port, process, log
    finally:
        process.terminate()
        process.wait(10)


def wait_for_site(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 60.0) -> None:
    """Return when the site answers; fails with its log if it ends first."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"the site did not start:\n{log.read_text()[-4000:]}")
