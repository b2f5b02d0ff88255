"""Asks OSV, the database that pip-audit asks, for known vulnerabilities of torch and of what constraints.txt pins.

Exit status 0: none is known; 1: some are; 2: the database could not be asked. ``OSV_URL`` names a mirror of it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from typing import Any

from scripts.setup import ROOT

DATABASE = "https://api.osv.dev"
SECONDS = 30
PIN = re.compile(r'^\s*"?([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)', re.MULTILINE)


def pins() -> dict[str, str]:
    """Return name -> version of all that is pinned."""
    texts = [(ROOT / name).read_text() for name in ("pyproject.toml", "constraints.txt")]
    return dict(sorted(PIN.findall("\n".join(texts))))


def known(pinned: dict[str, str], url: str = DATABASE) -> dict[str, list[str]]:
    """Return ``name==version`` -> ids of what is known against it; raises OSError, ValueError."""
    asked = {
        "queries": [
            {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
            for name, version in pinned.items()
        ]
    }
    request = urllib.request.Request(  # noqa: S310 - the address is ours, or the user's own
        f"{url}/v1/querybatch", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        results: list[dict[str, Any]] = json.load(answer)["results"]
    if len(results) != len(pinned):
        raise ValueError(f"{len(results)} answers to {len(pinned)} questions")
    return {
        f"{name}=={version}": sorted(found["id"] for found in result["vulns"])
        for (name, version), result in zip(pinned.items(), results, strict=True)
        if result.get("vulns")
    }


def main(url: str = os.environ.get("OSV_URL", DATABASE)) -> int:
    """Print what is known; return the exit status."""
    pinned = pins()
    try:
        found = known(pinned, url)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"audit: {url} could not be asked, so nothing is known: {error}", file=sys.stderr)
        return 2
    for name, ids in found.items():
        print(f"{name}: " + ", ".join(f"https://osv.dev/{each}" for each in ids))
    print(f"{len(pinned)} packages, {len(found)} with known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
