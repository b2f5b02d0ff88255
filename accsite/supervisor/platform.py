"""The whole platform on one machine, as `manage.py up` and `manage.py demo` run it."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from acc.errors import AccError, InvalidInput
from accsite.apps.access.services import assert_loopback
from accsite.apps.registry.selectors import unread
from accsite.supervisor import family
from accsite.supervisor.console import Console
from accsite.supervisor.health import is_ready
from accsite.supervisor.lock import HomeLock
from accsite.supervisor.migration import Migration
from accsite.supervisor.processes import LOOPBACK, Process, starter, table
from accsite.supervisor.redis import RedisServer, answers, use
from accsite.supervisor.starter import possible
from accsite.supervisor.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]
PORTS_TRIED = 50
LAST_PORT = 65_535
BACKLOG = 128
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
    assert_writable(home)
    lock = HomeLock(home / "run" / "supervisor.lock")
    lock.acquire()
    opened = ExitStack()
    try:
        console.log_to(home / "logs" / "platform.log")
        # The site is given this socket: what is printed as its address is never another program's.
        listener = opened.enter_context(closing(listen_from(host, port)))
        chosen: int = listener.getsockname()[1]
        if port not in {0, chosen}:
            console.line("supervisor", f"port {port} is taken; using {chosen}")
        url = f"http://{host}:{chosen}"
        settings.ACC_PUBLIC_URL = url
        settings.ACC_INTERNAL_URL = os.environ.get("ACC_INTERNAL_URL", url)
        note(home / "run" / "site.url", url)
        redis = own_redis(home)
        supervisor = Supervisor(
            table(device=device, devices=settings.ACC_DEVICES, listener=listener.fileno()),
            environment=child_environment(),
            console=console,
            first=Process("redis", tuple(redis.command())) if redis else None,
            first_is_ready=lambda: answers(settings.REDIS_URL),
            starter=starter() if possible() else None,
        )
        if possible():
            family.freeze()
        with supervisor:
            # What reads the console are threads, and what has those cannot be forked.
            with console.unread(), Migration() as migration:
                supervisor.warm_up()
                supervisor.start_first()
                console.stage("Redis answers")
                migration.wait()
                console.stage("the database is up to date")
                supervisor.start()
            lock.tell(f"{url}/")
            yield Platform(url, console, supervisor)
    finally:
        opened.close()
        (home / "run" / "site.url").unlink(missing_ok=True)
        lock.release()


def assert_writable(home: Path) -> None:
    """Raise AccError unless files can be made in the home and in its folders."""
    for folder in (home, home / "run", home / "blobs"):
        probe = folder / f".probe-{secrets.token_hex(4)}"
        try:
            if folder == home or folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                probe.write_bytes(b"\0")
                probe.unlink()
        except OSError as error:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
            raise AccError(
                f"{str(folder)!r} cannot be written: {error.strerror}; ACC_HOME must name a folder of this user's "
                "with room in it"
            ) from None


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


def listen_from(host: str, port: int) -> socket.socket:
    """Return a socket that listens at ``port``, or at the next one that is free: nobody else can take it any more.

    Port 0 is any that is free. Raises AccError if none of the next fifty is free.
    """
    if not 0 <= port <= LAST_PORT:
        raise InvalidInput({"port": f"{port} is no port; choose one from 1 to {LAST_PORT}"})
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = min(port + PORTS_TRIED - 1, LAST_PORT)
    for candidate in range(port, last + 1):
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host.strip("[]"), candidate))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise AccError(f"the site cannot listen at {host!r}: {error.strerror}") from None
            continue
        return listener
    raise AccError(f"no free port from {port} to {last} on {host}; choose one with --port")


__all__ = ["LOOPBACK", "Platform", "platform"]
