"""Asks a running site whether it is ready, and a process without a port for its last sign of life.

Used by the supervisor and by the containers' health checks: ``python -m accsite.supervisor.health http://...`` or
``... /tmp/alive 60``, a file that the process touches (ACC_ALIVE_FILE) and how old it may be.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

READY_PATH = "/readyz"
TIMEOUT_SECONDS = 3.0


def is_ready(url: str) -> bool:
    """Return whether the site at ``url`` answers that it can work (database and Redis included)."""
    # A proxy from the environment has nothing to do with an address on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url.rstrip("/") + READY_PATH, timeout=TIMEOUT_SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def say_alive() -> None:
    """Touch the file that ACC_ALIVE_FILE names; without one do nothing."""
    file = os.environ.get("ACC_ALIVE_FILE")
    if file:
        with suppress(OSError):  # a full disk is no reason to end what works
            Path(file).touch()


def is_alive(file: Path, seconds: float) -> bool:
    """Return whether a process touched ``file`` within the last ``seconds``."""
    try:
        return time.time() - file.stat().st_mtime < seconds
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    """Return 0 if what is asked about is well, else 1."""
    if len(arguments) == 1:
        return 0 if is_ready(arguments[0]) else 1
    return 0 if is_alive(Path(arguments[0]), float(arguments[1])) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
