"""The shipped compose file boots, is verified from inside, and loses nothing when workers or all of it restart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acc.client import Client
from accsite.apps.operations.verify_milestones import MILESTONES
from tests.containers.conftest import ONCE, Compose
from tests.stack import MODEL, PATIENCE

pytestmark = pytest.mark.timeout(int(3600 * PATIENCE))
STEPS = 2_000
SERVICES = {
    "postgres", "redis", "web", "worker-train", "worker-eval", "worker-recipe", "sweeper", "watcher",
    "latent",
}  # fmt: skip


@pytest.fixture(scope="module")
def client(stack: Compose) -> Client:
    """Return a client of the site, as a script outside of the stack has one."""
    token = stack.manage("tokens", "make", "admin", "--scope", "write").split()[-1]
    return Client(f"http://127.0.0.1:{stack.port}", token)


@pytest.fixture(scope="module")
def branch(stack: Compose, client: Client) -> int:
    """Return the id of a branch on real digits with two tasks."""
    stack.manage("generate", "HandwrittenDigits", "--name", "Handwritten digits", "--follow")
    experiment = client.experiments.create("digits", MODEL)
    made = experiment["branches"][0]
    client.tasks.create(made["id"], "ReconstructionTask", "handwritten-digits", weight=30)
    client.tasks.create(made["id"], "ClassificationTask", "handwritten-digits", factor="digit")
    return made["id"]


def reached(stack: Compose, job: int, step: int) -> dict[str, Any]:
    """Return a job once it runs and has recorded ``step`` steps."""

    def there() -> dict[str, Any] | None:
        found = stack.job(job)
        assert not found["ended"], f"it ended before it was disturbed: {found}"
        return found if found["state"] == "RUNNING" and found["step"] >= step else None

    found: dict[str, Any] = stack.until(there, what=f"job {job} to reach step {step}")
    return found


def test_every_service_gets_healthy(stack: Compose) -> None:
    states = stack.states()
    assert set(states) == SERVICES | {ONCE}
    assert {name for name, row in states.items() if row["Health"] == "healthy"} == SERVICES


def test_a_job_outlives_its_drained_worker_and_a_restart_of_everything_with_its_history_whole(
    stack: Compose, client: Client, branch: int
) -> None:
    job = client.jobs.train(branch, steps=STEPS, batch_size=32, threads=1)["id"]
    reached(stack, job, 20)
    stack.run("stop", "worker-train")
    drained = stack.job(job)
    assert (drained["state"], drained["attempt"]) == ("QUEUED", 1)
    assert f"was shut down at step {drained['step']}; nothing is lost" in drained["message"]

    stack.run("up", "--detach", "--no-build")
    before = reached(stack, job, drained["step"] + 20)
    stack.run("stop")
    stack.run("up", "--detach", "--no-build")
    stack.until_healthy()
    resting = stack.job(job)
    assert resting["step"] >= before["step"], "what was recorded is there after a restart of all"

    done = stack.until(
        lambda: (found := stack.job(job))["ended"] and found, what="the job to end", seconds=1800 * PATIENCE
    )
    assert (done["state"], done["step"], done["attempt"]) == ("SUCCEEDED", STEPS, 3)
    head, *lines = stack.manage("jobs", "losses", str(job)).splitlines()
    steps = [int(line.split(",")[head.split(",").index("step")]) for line in lines]
    assert steps == list(range(STEPS)), "every step has one point"


def test_verify_holds_inside_of_the_stack(stack: Compose) -> None:
    stack.until_healthy()
    steps = [json.loads(line) for line in stack.manage("verify", "all", "--json", check=False).splitlines()]
    assert [step for step in steps if not step["ok"]] == []
    assert [step["name"] for step in steps if step["milestone"] not in {"site"}] == [
        text for milestone in MILESTONES.values() for text in milestone.promises()
    ]
    skipped = {step["milestone"] for step in steps if step["skipped"]}
    assert skipped == {"m3"}, "nothing in the stack may write its own plugins, and all else is tried"


def test_hot_reload_holds_where_the_folder_of_plugins_can_be_written(stack: Compose) -> None:
    stack.until_healthy()
    plugins = ("--volume", f"{stack.folder / 'plugins'}:/plugins", "--env", "ACC_PLUGINS=/plugins")
    words = ("run", "--rm", "--no-deps", "-T", *plugins, "web")
    done = stack.run(*words, "python", "manage.py", "verify", "m3", "--json", check=False)
    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [step for step in steps if not step["ok"] or step["skipped"]] == [], done.stderr[-2000:]
    assert len(steps) > len(MILESTONES["m3"].promises()), done.stderr[-2000:]
