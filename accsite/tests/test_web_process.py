"""The web process starts quickly and stays small: no torch, not even by the way."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

SCRIPT = """
import sys, json
import accsite.asgi
heavy = {"torch", "sklearn", "scipy", "workers", "acc.api", "acc.models"}
print(json.dumps(sorted(heavy & set(sys.modules))))
"""


def _start() -> tuple[list[str], float]:
    """Return the heavy modules it imported and the seconds of processor time it took."""
    before = _processor_seconds_of_children()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "accsite.settings.test"},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy: list[str] = json.loads(done.stdout.splitlines()[-1])
    return heavy, _processor_seconds_of_children() - before


def _processor_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_web_process_imports_nothing_heavy_and_starts_in_two_seconds():
    runs = [_start() for _ in range(2)]
    assert runs[0][0] == []
    # The better of two: the first may have to compile.
    assert min(seconds for _, seconds in runs) < 2
