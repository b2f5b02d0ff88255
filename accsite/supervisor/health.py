"""Asks a running site whether it is ready: used by the supervisor and by the container's health check."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

READY_PATH = "/readyz"
TIMEOUT_SECONDS = 3.0


def is_ready(url: str) -> bool:
    """Return whether the site at ``url`` answers that it can work (database and Redis included)."""
    # The header is what a TLS proxy in front would add; without it the site would redirect to https.
    request = urllib.request.Request(  # noqa: S310 - the caller's own http address
        url.rstrip("/") + READY_PATH, headers={"X-Forwarded-Proto": "https"}
    )
    # A proxy from the environment has nothing to do with an address on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(0 if is_ready(sys.argv[1]) else 1)
