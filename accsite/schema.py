"""Holds the database's tables against the models: names of migrations do not tell what a database was made by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.backends.utils import CursorWrapper

from acc.errors import AccError

REMEDY = (
    "run `manage.py migrate`; if that changes nothing, the database was made by another version of ACC whose "
    "migrations bore the same names: start this version with a new ACC_HOME (or database), and bring over what that "
    "version exports (`manage.py export`, `manage.py datasets export`)"
)
TOLD = 5
_COLUMNS = {
    "sqlite": 'SELECT lower("type"), "notnull", name FROM pragma_table_info(%s)',
    "postgresql": """SELECT format_type(atttypid, atttypmod), attnotnull, attname FROM pg_attribute
        WHERE attrelid = to_regclass(quote_ident(%s)) AND attnum > 0 AND NOT attisdropped""",
}
_SYNONYMS = {"varchar": "character varying"}
"""Django's name of a type -> PostgreSQL's own."""
WHOLE_NUMBERS = {"integer", "bigint"}
"""Migrations give the tables between two models of Django's own apps another kind of id than its models name."""
_seen: dict[str, object] = {}
"""Database -> the state in which its tables were found to be right."""


class OtherSchema(AccError):
    """The tables are not those of this version. The text names the first differences and what to do."""


def assert_schema() -> None:
    """Raise OtherSchema unless the database has the tables and columns of the models."""
    found = differences()
    if found:
        raise OtherSchema(f"{sentence(found)}; {REMEDY}")


def is_right() -> bool:
    """Return whether the tables are those of the models, looking again only after the database was migrated."""
    state = _state()
    key = f"{connection.vendor} {connection.settings_dict['NAME']} {connection.settings_dict['HOST']}"
    if _seen.get(key) != state:
        if differences():
            return False
        _seen[key] = state
    return True


def differences() -> list[str]:
    """Return a clause for each table and column that the models have and the database has not, or has otherwise."""
    with connection.cursor() as cursor:
        models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
        return [
            clause for model in models if not model._meta.proxy for clause in _of_table(cursor, model._meta)
        ]


def sentence(found: list[str]) -> str:
    """Return in words that, and how, the database differs."""
    more = f" and {len(found) - TOLD} more" if len(found) > TOLD else ""
    return f"the database's tables are not those of this version: {', '.join(found[:TOLD])}{more}"


def _of_table(cursor: CursorWrapper, model: Any) -> Iterator[str]:
    table = model.db_table
    cursor.execute(_COLUMNS[connection.vendor], [table])
    there = {name: (kind, bool(required)) for kind, required, name in cursor.fetchall()}
    if not there:
        yield f"{table} is missing"
        return
    wanted = {field.column: field for field in model.local_concrete_fields}
    for column, field in wanted.items():
        if column not in there:
            yield f"{table}.{column} is missing"
            continue
        kind, required = there[column]
        right = _own_name(str(field.db_parameters(connection)["type"]))
        if kind != right and not (model.auto_created and {kind, right} == WHOLE_NUMBERS):
            yield f"{table}.{column} is {kind}, not {right}"
        elif required == field.null:
            yield f"{table}.{column} {'may not' if required else 'may'} be NULL"
    # One that has no default and must not be empty would refuse every new row; any other means another version, too.
    yield from (f"{table}.{column} is not known" for column in there.keys() - wanted.keys())


def _own_name(kind: str) -> str:
    kind = kind.lower()
    if connection.vendor != "postgresql":
        return kind
    for name, own in _SYNONYMS.items():
        kind = re.sub(rf"^{name}\b", own, kind)
    return kind.replace(", ", ",")


def _state() -> object:
    """Return what changes whenever the database is migrated."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), max(id) FROM django_migrations")
        applied = cursor.fetchone()
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA schema_version")
            return applied, cursor.fetchone()
    return applied
