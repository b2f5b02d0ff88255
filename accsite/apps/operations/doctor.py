"""Looks an installation over: each check says in a sentence how things are, and what to do if they are not well."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import redis
from django.conf import settings
from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage, storages
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now
from django.utils import timezone

from accsite import schema
from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.states import HELD, JobState
from accsite.apps.registry.models import PluginFile
from accsite.home import open_to_others

State = Literal["ok", "warning", "failure"]
FREE_BYTES = 2 * 2**30
CLOCK_SECONDS = 2.0


@dataclass(frozen=True)
class Finding:
    """How one thing is: a sentence, and what to do unless it is ok."""

    check: str
    state: State
    text: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def examine() -> list[Finding]:
    """Return the findings of every check, in the order in which one depends on the other; none raises."""
    findings: list[Finding] = []
    for check in CHECKS:
        name = check.__name__
        try:
            findings.extend(check())
        except DatabaseError as error:
            findings.append(
                Finding(name, "failure", f"the database does not answer: {_line(error)}", DATABASE)
            )
        except Exception as error:
            text = f"could not be looked at: {type(error).__name__}: {_line(error)}"
            findings.append(Finding(name, "failure", text, "read the sentence; it names what refused"))
        if name == "database" and any(finding.state == "failure" for finding in findings):
            break  # the others would only say the same
    return findings


DATABASE = "check DATABASE_URL, start the database, then `manage.py migrate`"


def database() -> Iterator[Finding]:
    """Reachable, with every migration applied, and with the tables of the models."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing[:5])
        text = f"{len(missing)} migrations are not applied: {names}"
        yield Finding("database", "failure", text, "run `manage.py migrate`")
    elif others := schema.differences():
        yield Finding("database", "failure", schema.sentence(others), schema.REMEDY)
    else:
        text = f"{connection.vendor} answers; every migration is applied, and the tables are those of this version"
        yield Finding("database", "ok", text)


def redis_server() -> Iterator[Finding]:
    """Answers, and keeps what is pushed (no eviction)."""
    remedy = "start Redis, or correct REDIS_URL; `manage.py up` brings its own"
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
    try:
        client.ping()
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        waiting = {queue: client.llen(queue) for queue in kinds.queues()}
    except redis.ResponseError:  # a hosted Redis may not tell its settings
        yield Finding("redis", "ok", "answers")
        return
    except (redis.RedisError, OSError) as error:
        yield Finding("redis", "failure", f"does not answer: {_line(error)}", remedy)
        return
    finally:
        client.close()
    rung = ", ".join(f"{name} {count}" for name, count in waiting.items())
    if policy == "noeviction":
        yield Finding("redis", "ok", f"answers; doorbells waiting: {rung}")
    else:
        text = f"throws messages away when it is full (maxmemory-policy {policy})"
        yield Finding("redis", "warning", text, "set maxmemory-policy noeviction")


def storage() -> Iterator[Finding]:
    """Takes a file and gives it back; has room."""
    content = secrets.token_bytes(64)
    name = default_storage.save(f"doctor/{secrets.token_hex(8)}", ContentFile(content))
    try:
        with default_storage.open(name) as file:
            same = file.read() == content
    finally:
        default_storage.delete(name)
    if not same:
        yield Finding("storage", "failure", "gave back something else than it was given", "check the storage")
        return
    local = storages["default"]
    if not isinstance(local, FileSystemStorage):
        yield Finding("storage", "ok", "takes files and gives them back")
        return
    free = shutil.disk_usage(local.location).free
    text = f"takes files and gives them back; {free / 2**30:.1f} GiB are free"
    if free < FREE_BYTES:
        yield Finding(
            "storage", "warning", text, "free some room: `manage.py prune --dry-run` says what could go"
        )
    else:
        yield Finding("storage", "ok", text)


def home() -> Iterator[Finding]:
    """The folder of this installation belongs to its user, and to nobody else."""
    folder = Path(settings.HOME)
    probe = folder / f".doctor-{secrets.token_hex(4)}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        text = f"cannot be written: {_line(error)}"
        yield Finding("home", "failure", text, "give the process's user the folder that ACC_HOME names")
        return
    opened = open_to_others(folder, settings.ACC_DATABASE_FILE)
    if opened:
        names = ", ".join(str(path) for path in opened[:5])
        text = f"other users of this machine may reach {len(opened)} files or folders: {names}"
        yield Finding("home", "failure", text, "run `manage.py migrate` as their owner, which closes them")
    else:
        yield Finding("home", "ok", "ACC_HOME can be written, by its user alone")


def workers() -> Iterator[Finding]:
    """Each queue has a worker that is online and reports."""
    late = timezone.now() - timedelta(seconds=2 * settings.ACC_LEASE_SECONDS)
    rows = list(Worker.objects.all())
    online = [row for row in rows if row.state == Worker.State.ONLINE and row.heartbeat_at >= late]
    for queue in kinds.queues():
        names = [worker.name for worker in online if queue in worker.queues]
        waiting = Job.objects.filter(queue=queue, state=JobState.QUEUED).count()
        if names:
            yield Finding("workers", "ok", f"queue {queue}: {', '.join(names)}; {waiting} jobs wait")
        else:
            state: State = "failure" if waiting else "warning"
            text = f"queue {queue} has no worker that is online; {waiting} jobs wait"
            yield Finding(
                "workers", state, text, f"start one: `manage.py worker --queue {queue} --device auto`"
            )
    for row in rows:
        if row.state == Worker.State.RETIRED:
            remedy = f"`manage.py devices resume {row.name}` lets it take jobs again"
            yield Finding("workers", "warning", f"{row.name} is retired", remedy)


def jobs() -> Iterator[Finding]:
    """None is held by a worker that fell silent long ago: the sweeper does its work."""
    late = timezone.now() - timedelta(seconds=3 * settings.ACC_LEASE_SECONDS)
    stuck = Job.objects.filter(state__in=HELD, lease_expires_at__lt=late).values_list("pk", flat=True)
    unheard = Job.objects.filter(state=JobState.QUEUED, outbox=None).values_list("pk", flat=True)
    if stuck:
        text = f"held though their lease has ended: {', '.join(map(str, stuck[:10]))}"
        yield Finding("jobs", "failure", text, "start the sweeper: `python -m workers.sweeper`")
    elif unheard:
        text = f"queued without a doorbell: {', '.join(map(str, unheard[:10]))}"
        yield Finding("jobs", "failure", text, "cancel them and submit them again")
    else:
        yield Finding("jobs", "ok", "each is waiting, held by a living worker, or ended")


def devices() -> Iterator[Finding]:
    """What the online workers say of their devices."""
    for worker in Worker.objects.filter(state=Worker.State.ONLINE).order_by("name"):
        figures = worker.telemetry
        used, total = figures.get("memory_used_bytes"), figures.get("memory_total_bytes")
        heat = figures.get("temperature_celsius")
        text = f"{worker.name} on {worker.device} ({figures.get('device_name', 'unnamed')})"
        if heat is not None and heat >= 90:
            yield Finding("devices", "warning", f"{text} is at {heat:.0f} °C", "check its cooling")
        elif used is not None and total and used / total > 0.98:
            yield Finding("devices", "warning", f"{text} has no memory left", "end what else uses the device")
        else:
            yield Finding("devices", "ok", text)


def plugins() -> Iterator[Finding]:
    """Each file loads."""
    broken = list(PluginFile.objects.exclude(error=""))
    for row in broken:
        where = f"{row.path}, line {row.error_line}" if row.error_line else row.path
        yield Finding("plugins", "warning", f"{where}: {row.error}", "correct the file and save it")
    known = PluginFile.objects.count()
    if not known:
        yield Finding(
            "plugins", "failure", "none is known", "start the watcher, or run `manage.py plugins sync`"
        )
    elif not broken:
        yield Finding("plugins", "ok", f"{known} files load")


def clock() -> Iterator[Finding]:
    """This machine's clock and the database's agree; leases are judged by the database's alone."""
    before = timezone.now()
    there = Permission.objects.annotate(now=Now()).values_list("now", flat=True).first()
    after = timezone.now()
    if there is None:
        return
    apart = abs((there - (before + (after - before) / 2)).total_seconds())
    if apart > CLOCK_SECONDS:
        text = f"differs from the database's by {apart:.1f} s"
        yield Finding("clock", "warning", text, "synchronise the machines by NTP")
    else:
        yield Finding("clock", "ok", "agrees with the database's")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    database,
    redis_server,
    home,
    storage,
    workers,
    jobs,
    devices,
    plugins,
    clock,
)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
