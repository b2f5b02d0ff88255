"""The web process stays small: no torch, not even by the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys

SCRIPT = """
import sys, json
import accsite.asgi
heavy = {"torch", "sklearn", "scipy", "workers", "acc.api", "acc.models"}
print(json.dumps(sorted(heavy & set(sys.modules))))
"""


def test_the_web_process_imports_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "accsite.settings.test"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
