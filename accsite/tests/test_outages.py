"""A full or read-only disk and a busy or missing database are told in a sentence, with the status that they have."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.test import Client

from accsite.apps.jobs.models import Job
from accsite.apps.training.tests import rows
from accsite.outages import AWAY, BUSY, FULL, READ_ONLY, outage

pytestmark = pytest.mark.both_databases


@pytest.fixture
def branch(transactional_db: None) -> Any:
    rows.make_plugins()
    branch = rows.make_branch(User.objects.create_user("ada"))
    rows.make_task(branch, rows.make_dataset())
    return branch


def submit(branch: Any) -> Any:
    client = Client(raise_request_exception=False)
    client.force_login(branch.experiment.owner)
    body = {"kind": "train", "branch": branch.pk, "train": {"steps": 5}}
    return lambda: client.post("/api/v1/jobs/", body, content_type="application/json")


def pragma(text: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {text}")
        return cursor.fetchone()


@pytest.mark.skipif(
    connection.vendor != "sqlite", reason="SQLite can be made full, read-only and busy at will"
)
def test_a_job_that_cannot_be_written_is_refused_with_the_reason_and_accepted_later(branch: Any):
    ask = submit(branch)
    before = pragma("max_page_count")[0]
    pragma("wal_checkpoint(truncate)")
    pragma(f"max_page_count={pragma('page_count')[0]}")
    # Free pages of the file are used up first.
    full = next(answer for answer in (ask() for _ in range(1000)) if answer.status_code != 201)
    pragma(f"max_page_count={before}")
    assert (full.status_code, full.json()["title"]) == (507, "The disk is full")
    assert "prune --dry-run" in full.json()["detail"]
    kept = Job.objects.count()
    pragma("query_only=1")
    read_only = ask()
    pragma("query_only=0")
    assert (read_only.status_code, read_only.json()["title"]) == (503, "The disk cannot be written")
    pragma("busy_timeout=20")
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        busy = ask()
        other.execute("ROLLBACK")
    assert (busy.status_code, busy.json()["title"]) == (503, "The database is busy")
    assert Job.objects.count() == kept
    assert ask().status_code == 201


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), FULL),
        (OSError(errno.EROFS, "Read-only file system"), READ_ONLY),
        (OSError(errno.ENOENT, "No such file"), None),
        (OperationalError('could not extend file "base/1": No space left on device'), FULL),
        (OperationalError('connection to server at "::1", port 5432 failed: Connection refused'), AWAY),
        (OperationalError("server closed the connection unexpectedly"), AWAY),
        (OperationalError("the connection is lost"), AWAY),
        (OperationalError("FATAL: the database system is starting up"), AWAY),
        (OperationalError("FATAL: sorry, too many clients already"), AWAY),
        (OperationalError("unable to open database file"), AWAY),
        (InterfaceError("connection already closed"), AWAY),
        (OperationalError("canceling statement due to lock timeout"), BUSY),
        (OperationalError("deadlock detected"), BUSY),
        (OperationalError("no such table: jobs_job"), None),
        (OperationalError("too many SQL variables"), None),
        (OperationalError('near "x": syntax error'), None),
        (OperationalError("stack depth limit exceeded"), None),
        (OperationalError("database is locked"), BUSY),
        (ValueError("is full"), None),
        (None, None),
    ],
)
def test_errors_are_told_apart(error: BaseException | None, found: Any):
    assert outage(error) == found


@pytest.mark.parametrize("query", ["SELECT x x x", "SELECT nothing FROM nowhere", "SELECT randomblob()"])
def test_a_query_that_is_wrong_is_a_fault_of_the_site(db: None, query: str):
    with pytest.raises(DatabaseError) as raised, connection.cursor() as cursor:
        cursor.execute(query)
    assert outage(raised.value) is None


def test_what_another_error_came_from_counts():
    error = RuntimeError("could not store")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert outage(error) == FULL
