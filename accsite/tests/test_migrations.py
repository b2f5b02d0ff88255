"""Migrations lead from nothing to the models as they are, and back to nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, connections

OURS = ("evaluation", "training", "datasets", "registry", "live", "access", "audit")


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
