"""SQLite is set up to be written by many processes at once."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection, transaction

from accsite.apps.live.models import Topic
from accsite.settings.base import database


@pytest.mark.skipif(connection.vendor != "sqlite", reason="these are SQLite's settings")
@pytest.mark.django_db(transaction=True)
def test_sqlite_has_a_write_ahead_log_and_waits_for_locks():
    with connection.cursor() as cursor:
        seen = {}
        for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous"):
            cursor.execute(f"PRAGMA {name}")
            seen[name] = cursor.fetchone()[0]
    assert seen == {"journal_mode": "wal", "busy_timeout": 30000, "foreign_keys": 1, "synchronous": 0}
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_sqlite_syncs_each_commit_but_for_the_suites_own(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "a.sqlite3")) as own:
        for statement in database("sqlite:///a")["OPTIONS"]["init_command"].split(";"):
            own.execute(statement)
        assert own.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


@pytest.mark.django_db(transaction=True)
def test_six_writers_that_read_before_they_write_never_fail():
    Topic.objects.create(name="counter", version=0)
    errors: list[Exception] = []

    def write() -> None:
        try:
            for _ in range(20):
                with transaction.atomic():
                    row = Topic.objects.select_for_update().get(name="counter")
                    row.version += 1
                    row.save()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Topic.objects.get(name="counter").version == 120


def test_a_url_says_which_database():
    assert database("sqlite:////tmp/x.sqlite3")["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    config = database("postgresql://user:secret@db.example:5433/acc")
    assert config["ENGINE"] == "django.db.backends.postgresql"
    assert (config["HOST"], config["PORT"], config["CONN_HEALTH_CHECKS"]) == ("db.example", 5433, True)
