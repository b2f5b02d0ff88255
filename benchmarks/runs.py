"""The table of runs at 10,000 runs of 30 columns, on SQLite and PostgreSQL: server time and bytes of its page.

A request is served by Django's own handler, with everything between the address and the last byte: sign-in, queries,
template, compression. What is asked: the first rows, a sort by a metric, a filter by two columns, and groups.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.platform_under_test import ROOT, site
from benchmarks.rows import Row, report

RUNS, EXPERIMENTS, TRIES = 10_000, 40, 15
GOAL_MS, GOAL_OF_GROUPS_MS, GOAL_BYTES = 150, 1000, 200_000
TASKS = ("reconstruction", "kl", "digit", "slant")
METRICS = ("ufr", "digit/accuracy", "slant/r2", "reconstruction/psnr")
PARAMETERS = (
    "train/lr",
    "train/batch_size",
    "train/seed",
    "train/weight_decay",
    "model/latent_dim",
    "model/beta",
)
TEXTS = ("train/optimizer", "train/lr_schedule", "model/architecture", "data/datasets")
ASKED = {
    "first rows": "/runs/?",
    "sort": "/runs/?sort=-metric/ufr+on+digits",
    "filter": "/runs/?filter=ufr+%3E+.5+and+lr+%3D+.001",
    "groups": "/runs/?group=train/lr",
}


def fill() -> Any:
    """Make the runs, and return the user who sees them all but a tenth."""
    from django.contrib.auth.models import User
    from django.utils import timezone

    from accsite.apps.jobs.models import Job
    from accsite.apps.runs.models import Column, Run, Value
    from accsite.apps.training.models import Branch, Experiment

    draw = random.Random(0)
    user, other = User.objects.create_user("reader"), User.objects.create_user("other")
    experiments = [
        Experiment(
            name=f"study {i}", slug=f"study-{i}", model_spec={}, owner=other if i % 10 == 0 else user,
            visibility="private" if i % 10 == 0 else "site",
        )
        for i in range(EXPERIMENTS)
    ]  # fmt: skip
    Experiment.objects.bulk_create(experiments)
    branches = [Branch(experiment=each, name="main", slug="main", created_by=user) for each in experiments]
    Branch.objects.bulk_create(branches)
    now = timezone.now()
    spec = {"train": {"steps": 1000}, "padding": "x" * 3000}
    jobs = [
        Job(
            kind="train", queue="train", state="SUCCEEDED", title=f"Train {i}", branch=branches[i % EXPERIMENTS],
            spec=spec, step=1000, total_steps=1000, created_by=user, started_at=now, finished_at=now,
        )
        for i in range(RUNS)
    ]  # fmt: skip
    Job.objects.bulk_create(jobs, batch_size=500)
    Run.objects.bulk_create(
        [
            Run(
                job=job, experiment=experiments[i % EXPERIMENTS], branch=branches[i % EXPERIMENTS], created_by=user,
                kind="train", state="SUCCEEDED", step=1000, total_steps=1000, seconds=draw.random() * 1000,
                created_at=now, started_at=now, finished_at=now, kept_at=now,
            )
            for i, job in enumerate(jobs)
        ],
        batch_size=500,
    )  # fmt: skip
    numbers = {
        **{f"loss/{name}": None for name in (*TASKS, "total")},
        **{f"best/{name}": None for name in (*TASKS, "total")},
        **{f"weight/{name}": (0.5, 1.0, 2.0) for name in TASKS},
        **{f"metric/{name} on digits": None for name in METRICS},
        "train/lr": (0.0005, 0.001, 0.002, 0.005),
        "train/batch_size": (32, 64, 128),
        "train/seed": tuple(range(10)),
        "train/weight_decay": (0.0, 1e-4),
        "model/latent_dim": (8, 16, 32),
        "model/beta": (1.0, 4.0),
    }
    texts = dict(
        zip(TEXTS, (("adamw", "sgd"), ("constant", "cosine"), ("BurgessVAE",), ("digits",)), strict=True)
    )
    columns = {name: Column(name=name, is_number=name in numbers) for name in (*numbers, *texts)}
    Column.objects.bulk_create(columns.values())
    through = Column.experiments.through
    through.objects.bulk_create(
        through(column=column, experiment=each) for column in columns.values() for each in experiments
    )
    for first in range(0, RUNS, 500):
        rows = []
        for job in jobs[first : first + 500]:
            for name, choices in numbers.items():
                number = draw.choice(choices) if choices else draw.random()
                rows.append(Value(run_id=job.pk, column=columns[name], number=float(number)))
            rows += [
                Value(run_id=job.pk, column=columns[name], text=draw.choice(choices))
                for name, choices in texts.items()
            ]
        Value.objects.bulk_create(rows)
    return user


def measured() -> dict[str, tuple[float, int]]:
    """Return milliseconds of the server (median) and bytes of the page before compression, by what is asked."""
    from django.db import connection
    from django.test import Client

    user = fill()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    found = {}
    for name, address in {**ASKED, "30 columns": ASKED["first rows"] + thirty()}.items():
        times, size = [], 0
        for _ in range(TRIES):
            begun = time.perf_counter()
            answer = client.get(address)
            times.append(1000 * (time.perf_counter() - begun))
            size = len(answer.content)
            assert answer.status_code == 200, answer.content[:500]
        found[name] = (statistics.median(times[3:]), size)
    return found


CURVES, LONG_STEPS = 50, 20_000
FIRST_CURVE = """() => new Promise((done) => {
  const look = () => document.querySelector("#runs-plot canvas")
    ? requestAnimationFrame(() => done(performance.now())) : requestAnimationFrame(look);
  look();
})"""


def first_paints(home: Path) -> tuple[list[float], list[float]]:
    """Return milliseconds from the address to the first frame with curves, of one run and of 50."""
    import numpy as np

    from accsite.apps.jobs.models import Job
    from accsite.apps.runs.models import Run
    from accsite.apps.training import blocks
    from accsite.apps.training.models import LossBlock
    from benchmarks.browser import signed_in_page
    from benchmarks.live import web

    ids = list(Run.objects.order_by("pk").values_list("pk", flat=True)[:CURVES])
    draw = np.random.default_rng(0)
    for pk in ids:
        values = draw.random((2, LONG_STEPS), dtype=np.float32)
        steps = blocks.make(0, ("total", "raw/digit"), values, 0.0, 1.0)
        LossBlock.objects.bulk_create(
            LossBlock(job_id=pk, attempt=1, seq=1, **blocks.fields(chunk)) for chunk in blocks.chunks(steps)
        )
        Run.objects.filter(pk=pk).update(step=LONG_STEPS)
        Job.objects.filter(pk=pk).update(step=LONG_STEPS)
    one, many = f"/runs/?eye={ids[0]}", "/runs/?" + "&".join(f"eye={pk}" for pk in ids)
    times: dict[str, list[float]] = {one: [], many: []}
    with web(home) as port, signed_in_page(port) as page:
        for _ in range(7):
            for address, found in times.items():
                page.goto(f"http://127.0.0.1:{port}{address}", wait_until="commit")
                found.append(page.evaluate(FIRST_CURVE))
    return times[one][1:], times[many][1:]


def thirty() -> str:
    """Return the part of an address that asks for 30 columns."""
    from accsite.apps.runs.models import Column

    names = ["state", "step", "seconds", *Column.objects.values_list("name", flat=True)][:30]
    return "".join(f"&c={name.replace(' ', '+')}" for name in names)


def main() -> None:
    """Measure on both databases and print the rows."""
    from scripts.test import postgresql

    with site() as home:
        sqlite = measured()
        one, many = first_paints(home)
    with postgresql(durable=True) as url:
        env = {**os.environ, "DATABASE_URL": url}
        command = [sys.executable, "-m", "benchmarks.runs", "postgresql"]
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 2]
    postgres = {name: (float(ms), int(size)) for name, ms, size in lines}
    for name, (ms, size) in sqlite.items():
        told = f"PostgreSQL {postgres[name][0]:.0f} ms; page of {size / 1000:.0f} KB before compression"
        goal = GOAL_OF_GROUPS_MS if name == "groups" else GOAL_MS
        report(Row(f"{RUNS:,} runs, {name}", ms, "ms", goal, "lower", told))
    ratio = statistics.median(many) / statistics.median(one)
    told = f"first frame with {CURVES} curves after {statistics.median(many):.0f} ms"
    baseline = f"with one curve {statistics.median(one):.0f} ms"
    report(Row(f"curves of {CURVES} runs, first paint", ratio, "x", 2, "lower", told, baseline))
    most = max(size for _, size in sqlite.values())
    report(
        Row(
            f"{RUNS:,} runs, largest page",
            most / 1000,
            "KB",
            GOAL_BYTES / 1000,
            "lower",
            "before compression",
        )
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["postgresql"]:
        with site():
            for asked, (ms, size) in measured().items():
                print(asked, f"{ms:.1f}", size, sep="\t")
    else:
        main()
