"""Asks a running site whether it is ready: used by the supervisor and by the container's health check."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

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


if __name__ == "__main__":
    sys.exit(0 if is_ready(sys.argv[1]) else 1)
