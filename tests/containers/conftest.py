"""The compose stack as it is shipped, booted for real by Docker on a copy of the checkout; skipped where there is none.

ACC_TEST_BUILT=1: use the image ``acc:cpu`` that is there instead of building it.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accsite.supervisor.redis import free_port
from tests.stack import PATIENCE, ROOT

BOOT_SECONDS = 600 * PATIENCE
PASSWORD = "a-long-one-of-a-test"
ONCE = "migrate"
"""The service that ends; all others stay."""


class NotThere(AssertionError):
    """What was waited for did not come; what the services said is in the message."""


@dataclass
class Compose:
    """The stack of one compose project on a folder of its own."""

    folder: Path
    project: str
    port: int

    def run(self, *words: str, check: bool = True, seconds: float = 900) -> subprocess.CompletedProcess[str]:
        """Run ``docker compose words...`` and return what it printed."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.project, *words],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds * PATIENCE,
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done

    def manage(self, *words: str, service: str = "web", check: bool = True) -> str:
        """Return what ``manage.py words...`` prints within a service."""
        return self.run("exec", "-T", service, "python", "manage.py", *words, check=check).stdout

    def states(self) -> dict[str, dict[str, Any]]:
        """Return service -> its container as Docker sees it."""
        listed = self.run("ps", "--all", "--format", "json").stdout
        rows = [json.loads(line) for line in listed.splitlines() if line.startswith(("{", "["))]
        flat = [row for each in rows for row in (each if isinstance(each, list) else [each])]
        return {row["Service"]: row for row in flat}

    def until(self, condition: Callable[[], Any], *, what: str, seconds: float = BOOT_SECONDS) -> Any:
        """Return what ``condition`` returns once it is true; raises NotThere with the ends of all logs."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > end:
                logs = self.run("logs", "--tail", "30", check=False).stdout
                raise NotThere(f"waited {seconds:g} s for {what}; {self.states()}\n{logs}")
            time.sleep(1)
        return found

    def until_healthy(self) -> None:
        """Wait until every service is healthy, and the one that runs once has ended well."""

        def healthy() -> bool:
            states = self.states()
            waiting = {name for name, row in states.items() if name != ONCE and row["Health"] != "healthy"}
            ended = states[ONCE]["State"] == "exited"
            assert not ended or states[ONCE]["ExitCode"] == 0, self.run("logs", ONCE).stdout
            return ended and not waiting

        self.until(healthy, what="all services to be healthy")

    def job(self, number: int) -> dict[str, Any]:
        """Return a job as ``manage.py jobs show`` tells it."""
        found: dict[str, Any] = json.loads(self.manage("jobs", "show", str(number), "--json"))
        return found


def environment() -> dict[str, str]:
    """Return the environment of docker: nothing in it may change what the compose file says.

    The home is the user's own, where docker's plugins and log-ins are, and not the one that tests are given.
    """
    mine = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "POSTGRES_PASSWORD", "COMPOSE_FILE"}
    kept = {name: value for name, value in os.environ.items() if name not in mine and name[:4] != "ACC_"}
    return {**kept, "HOME": pwd.getpwuid(os.getuid()).pw_dir}


def copied(to: Path) -> Path:
    """Return a copy of the files of the checkout that git knows, or would take, with folders that all may enter.

    The user of the containers is another one than that of the checkout; ACC itself makes folders for its user alone.
    """
    before = os.umask(0o022)
    try:
        return _copied(to)
    finally:
        os.umask(before)


def _copied(to: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


@pytest.fixture(scope="session")
def docker() -> None:
    """Skip where there is no Docker engine with compose v2."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker on PATH; install Docker Engine with the compose plugin")
    for words, missing in (
        (["info"], "no Docker engine answers"),
        (["compose", "version"], "there is no compose plugin, version 2"),
    ):
        done = subprocess.run(
            ["docker", *words], capture_output=True, text=True, check=False, timeout=60, env=environment()
        )
        if done.returncode:
            pytest.skip(f"{missing}: {(done.stderr or done.stdout).strip()[-200:]}")


@pytest.fixture(scope="session")
def compose(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """Return the stack that ``docker-compose.yml`` makes, not started yet; removed with its data in the end."""
    folder = copied(tmp_path_factory.mktemp("checkout"))
    (folder / "plugins" / "tasks").chmod(0o777)  # as deploy.md has it of a stack whose hot reload is verified
    port = free_port()
    values = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "ACC_PORT": str(port),
    }
    told = (folder / ".env.example").read_text().splitlines()
    lines = [line for line in told if line.partition("=")[0] not in values]
    (folder / ".env").write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items())]))
    stack = Compose(folder, f"acc-test-{secrets.token_hex(3)}", port)
    try:
        yield stack
    finally:
        stack.run("down", "--volumes", "--remove-orphans", check=False)


@pytest.fixture(scope="session")
def stack(compose: Compose) -> Compose:
    """Return the stack once all its services are healthy, with an administrator."""
    if os.environ.get("ACC_TEST_BUILT") != "1":
        compose.run("build", seconds=3600)
    compose.run("up", "--detach", "--no-build")
    compose.until_healthy()
    compose.run(
        "exec", "-T", "-e", f"DJANGO_SUPERUSER_PASSWORD={PASSWORD}", "web",
        "python", "manage.py", "createsuperuser", "--noinput", "--username", "admin", "--email", "admin@localhost",
    )  # fmt: skip
    return compose
