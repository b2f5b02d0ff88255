"""Migrations lead from nothing to the models as they are, and back to nothing."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, connections

pytestmark = pytest.mark.both_databases

ROOT = Path(__file__).resolve().parents[2]
LANDED = Path(__file__).with_name("migrations.txt")
"""The SHA-256 of every migration, as `sha256sum --check` reads them. A line is added and never changed."""
OURS = (
    "news",
    "notes",
    "runs",
    "evaluation",
    "recipes",
    "training",
    "datasets",
    "jobs",
    "registry",
    "live",
    "access",
    "audit",
)


@pytest.fixture
def empty(tmp_path: Path, django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """Return the alias of an empty database of the kind that the tests use."""
    alias, name = "empty", f"acc_migrations_{uuid.uuid4().hex[:8]}"
    server = connection.vendor == "postgresql"
    with django_db_blocker.unblock():
        if server:
            with connection._nodb_cursor() as cursor:
                cursor.execute(f'CREATE DATABASE "{name}"')
        here = name if server else str(tmp_path / "empty.sqlite3")
        connections.databases[alias] = {**connection.settings_dict, "NAME": here}
        yield alias
        connections[alias].close()
        del connections[alias], connections.databases[alias]
        if server:
            with connection._nodb_cursor() as cursor:
                cursor.execute(f'DROP DATABASE "{name}"')


def test_an_empty_database_is_migrated_to_the_models_and_back(empty: str) -> None:
    quiet: dict[str, Any] = {"interactive": False, "verbosity": 0}
    call_command("migrate", database=empty, **quiet)
    call_command("makemigrations", check=True, dry_run=True, **quiet)
    tables = set(connections[empty].introspection.table_names())
    assert {model._meta.db_table for model in apps.get_models()} <= tables
    for label in OURS:
        call_command("migrate", label, "zero", database=empty, **quiet)
    left = connections[empty].introspection.table_names()
    assert [name for name in left if name.startswith(OURS)] == []


def test_a_migration_that_has_landed_is_never_edited() -> None:
    landed = dict(line.split()[::-1] for line in LANDED.read_text().splitlines())
    there = {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((ROOT / "accsite").glob("apps/*/migrations/[0-9]*.py"))
    }
    edited = [name for name, sha256 in landed.items() if there.get(name) != sha256]
    assert edited == [], "there are databases that were made by these: bring them back, and add a migration"
    new = [f"{sha256}  {name}" for name, sha256 in there.items() if name not in landed]
    assert new == [], f"add to {LANDED.relative_to(ROOT)}:\n" + "\n".join(new)
