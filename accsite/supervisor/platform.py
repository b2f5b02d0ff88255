"""The whole platform on one machine, as `manage.py up` and `manage.py demo` run it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from acc.errors import AccError
from accsite.apps.access.services import assert_loopback
from accsite.apps.registry.selectors import unread
from accsite.supervisor.console import Console
from accsite.supervisor.health import is_ready
from accsite.supervisor.lock import HomeLock
from accsite.supervisor.processes import LOOPBACK, Process, table
from accsite.supervisor.redis import RedisServer, answers, use
from accsite.supervisor.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]
PORTS_TRIED = 50
WEB_SECONDS = 60.0
PLUGIN_SECONDS = 60.0


@dataclass
class Platform:
    """A platform whose processes are starting: its address, its console and its supervisor."""

    url: str
    console: Console
    supervisor: Supervisor

    def wait_until_ready(self) -> None:
        """Return when the site answers that it can work; raises AccError after a minute."""
        if not self.supervisor.wait_for(lambda: is_ready(self.url), seconds=WEB_SECONDS):
            self.console.show_last("web")
            raise AccError(f"the site at {self.url} was not ready within {WEB_SECONDS:g} s; its log is above")
        self.console.stage(f"the site answers at {self.url}/")

    def wait_for_plugins(self) -> None:
        """Return when every plugin file has been read, well or not; after a minute that says what is missing."""
        if not self.supervisor.wait_for(lambda: not unread(), seconds=PLUGIN_SECONDS):
            missing = ", ".join(unread())
            self.console.line("supervisor", f"not read within {PLUGIN_SECONDS:g} s: {missing}")
            return
        self.console.stage("the plugins are read")

    def tell(self, *lines: str) -> None:
        """Write where the log is and the last words of the start; the line that matters most comes last."""
        log = self.console.log
        where = [f"The log is in {log}; -v 2 shows it here."] if log is not None else []
        self.console.write("\n" + "\n".join(f"  {line}" for line in [*where, *lines]) + "\n")


@contextmanager
def platform(*, host: str, port: int, device: str, console: Console) -> Iterator[Platform]:
    """Yield the platform with its database migrated, and all its processes started.

    Leaving it stops them, workers first, so that jobs in progress are saved and requeued. Raises AccError if
    another one runs on the same ACC_HOME, or if Redis cannot be had.
    """
    assert_loopback(host)
    home = Path(settings.HOME)
    lock = HomeLock(home / "run" / "supervisor.lock")
    lock.acquire()
    try:
        console.log_to(home / "logs" / "platform.log")
        chosen = free_port_from(host, port)
        if chosen != port:
            console.line("supervisor", f"port {port} is taken; using {chosen}")
        url = f"http://{host}:{chosen}"
        settings.ACC_PUBLIC_URL = url
        note(home / "run" / "site.url", url)
        redis = own_redis(home)
        supervisor = Supervisor(
            table(host=host, port=chosen, device=device, devices=settings.ACC_DEVICES),
            environment=child_environment(),
            console=console,
            first=Process("redis", tuple(redis.command())) if redis else None,
            first_is_ready=lambda: answers(settings.REDIS_URL),
        )
        with supervisor:
            supervisor.start_first()
            console.stage("Redis answers")
            call_command("migrate", interactive=False, verbosity=0)
            console.stage("the database is up to date")
            supervisor.start()
            lock.tell(f"{url}/")
            yield Platform(url, console, supervisor)
    finally:
        (home / "run" / "site.url").unlink(missing_ok=True)
        lock.release()


def own_redis(home: Path) -> RedisServer | None:
    """Return a private Redis to start, this process already pointed at it; None if REDIS_URL names one.

    Its URL is left in a file that only its owner can read, so that other commands on this ACC_HOME find it.
    Raises AccError if REDIS_URL is set and nothing answers there.
    """
    external = os.environ.get("REDIS_URL")
    if external:
        if not answers(external):
            raise AccError(
                "nothing answers at the address in REDIS_URL; start that Redis, or unset REDIS_URL to get a "
                "private one"
            )
        return None
    server = RedisServer(home / "run" / "redis")
    note(home / "run" / "redis.url", server.url)
    use(server.url)
    return server


def note(path: Path, text: str) -> None:
    """Leave a line, for our own user only, where other commands on this ACC_HOME look for it."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def child_environment() -> dict[str, str]:
    """Return what the processes are told: this environment, and the settings that this process runs with."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
        "ACC_HOME": str(settings.HOME),
        "REDIS_URL": str(settings.REDIS_URL),
        "ACC_PUBLIC_URL": str(settings.ACC_PUBLIC_URL),
        "ACC_LOG_FORMAT": os.environ.get("ACC_LOG_FORMAT", "console"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }


def free_port_from(host: str, port: int) -> int:
    """Return ``port``, or the next one that is free; raises AccError if none of the next fifty is."""
    for candidate in range(port, port + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return candidate
    raise AccError(f"no free port from {port} to {port + PORTS_TRIED - 1} on {host}; choose one with --port")


__all__ = ["LOOPBACK", "Platform", "platform"]
