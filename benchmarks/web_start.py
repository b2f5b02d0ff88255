"""What a web process costs before its first request, beside Django and Channels alone."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from benchmarks.rows import Row, median, report

ROUNDS = 7
BARE = "import django.urls, django.contrib.auth, rest_framework, channels.routing, daphne.server"


def processor_seconds(code: str) -> float:
    """Return the processor time of a Python that runs ``code``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "accsite.settings.test"}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    processor_seconds("import accsite.asgi")  # compiles
    ours, bare = [], []
    for _ in range(ROUNDS):
        ours.append(processor_seconds("import accsite.asgi"))
        bare.append(processor_seconds(BARE))
    told = f"{min(ours):.2f} to {max(ours):.2f} s in {ROUNDS} starts"
    baseline = f"Django, REST framework and Channels alone {median(bare):.2f} s"
    report(Row("start of a web process", median(ours), "CPU s", 2, "lower", told, baseline))


if __name__ == "__main__":
    main()
