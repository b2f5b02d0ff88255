"""How long the API takes for a tree of 5,000 checkpoints, and how much it sends. ``python -m benchmarks.tree``"""

from __future__ import annotations

import gzip
import json
import os
import random
import tempfile
import time
from collections.abc import Callable

from benchmarks.rows import Row, median, report

NODES, BRANCHES, RUNS = 5000, 100, 15


def main() -> None:
    """Plant a tree in a throw-away database and read it again and again."""
    os.environ["ACC_HOME"] = tempfile.mkdtemp(prefix="acc-bench-tree-")
    os.environ["DJANGO_SETTINGS_MODULE"] = "accsite.settings.test"
    os.environ["ACC_TEST_WORKER"] = os.environ.get("PYTEST_XDIST_WORKER", "")
    import django

    django.setup()
    from django.core.management import call_command

    from accsite.apps.jobs.models import Job
    from accsite.apps.training.models import Branch, Checkpoint, Experiment
    from accsite.apps.training.tests import rows
    from accsite.apps.trees import selectors

    call_command("migrate", verbosity=0)
    experiment = Experiment.objects.create(name="t", slug="t", model_spec={})
    names = [f"b{number}" for number in range(BRANCHES)]
    lines = [Branch.objects.create(experiment=experiment, name=name, slug=name) for name in names]
    each, chance = NODES // BRANCHES, random.Random(0)
    forked = [1 if i % each else min(i, 6) for i in range(NODES)]
    anywhere = [chance.randint(1, i) if i else 0 for i in range(NODES)]
    for name, parents in (("runs", forked), ("random parents", anywhere)):
        rows.plant(lines, parents, tasks=8)
        _measure(name, lambda: selectors.compact(selectors.tree(experiment)))
        Checkpoint.objects.all()._raw_delete("default")
        Job.objects.all()._raw_delete("default")


def _measure(name: str, read: Callable[[], object]) -> None:
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        text = json.dumps(read(), separators=(",", ":"))
        seconds.append(time.perf_counter() - start)
    told = f"{NODES} checkpoints with losses of 8 tasks, {BRANCHES} branches, SQLite; median of {RUNS}"
    report(
        Row(f"tree of {name}: read and encode", median(seconds) * 1000, "ms", 100, "lower", told),
        Row(
            f"tree of {name}: size as sent",
            len(gzip.compress(text.encode())) / 1000,
            "KB",
            100,
            "lower",
            told,
        ),
    )


if __name__ == "__main__":
    main()
