"""How long the API takes for a tree of 5,000 checkpoints, and how large its answer is. ``python -m benchmarks.tree``"""

from __future__ import annotations

import json
import os
import tempfile
import time
from datetime import timedelta

from benchmarks.rows import Row, median, report

NODES, BRANCHES, RUNS = 5000, 10, 15


def main() -> None:
    """Plant a tree in a throw-away database and read it again and again."""
    os.environ["ACC_HOME"] = tempfile.mkdtemp(prefix="acc-bench-tree-")
    os.environ["DJANGO_SETTINGS_MODULE"] = "accsite.settings.test"
    os.environ["ACC_TEST_WORKER"] = os.environ.get("PYTEST_XDIST_WORKER", "")
    import django

    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from accsite.apps.training import selectors
    from accsite.apps.training.models import Branch, Checkpoint, Experiment, Job

    call_command("migrate", verbosity=0)
    experiment = Experiment.objects.create(name="t", slug="t", model_spec={})
    names = [f"b{number}" for number in range(BRANCHES)]
    lines = [Branch.objects.create(experiment=experiment, name=name, slug=name) for name in names]
    each, began = NODES // BRANCHES, timezone.now() - timedelta(days=30)
    job = {"kind": "train", "queue": "train", "title": "t", "spec": {}, "state": "SUCCEEDED"}
    Job.objects.bulk_create([Job(branch=lines[i // each], **job) for i in range(NODES)])
    Checkpoint._meta.get_field("created_at").auto_now_add = False
    raw = {f"raw/task{n}": 0.123456 * n for n in range(8)}
    Checkpoint.objects.bulk_create(
        [
            Checkpoint(
                pk=i + 1,
                parent_id=(i if i % each else max(i - 6, 0)) or None,
                experiment=experiment,
                branch=lines[i // each],
                job_id=i + 1,
                kind="final",
                step=500 * (i % each) + 500,
                job_step=500,
                file="x",
                sha256="0" * 64,
                size_bytes=10,
                spec={"filler": "x" * 4000},
                losses={"total": 1 / (i + 1), **raw},
                created_at=began + timedelta(seconds=437 * i),
            )
            for i in range(NODES)
        ]
    )
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        text = json.dumps(selectors.compact(selectors.tree(experiment)), separators=(",", ":"))
        seconds.append(time.perf_counter() - start)
    told = f"{NODES} checkpoints with losses of 8 tasks, {BRANCHES} branches, SQLite; median of {RUNS}"
    report(
        Row("tree: read and encode", median(seconds) * 1000, "ms", 100, "lower", told),
        Row("tree: size", len(text) / 1000, "KB", 100, "lower", told),
    )


if __name__ == "__main__":
    main()
