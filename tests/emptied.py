"""Empties the database after a test that committed: what it holds when it has just been migrated is left, no more.

Django's own way deletes from every table and then makes content types, rights and roles anew, model by model: 50 ms
for each such test on SQLite, and more on PostgreSQL, which rewrites every table. Most tests fill a few.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.transaction import atomic
from django.test import TransactionTestCase


class Emptied:
    """What the migrated database holds, and the way back to it."""

    def __init__(self) -> None:
        self.name = connection.settings_dict["NAME"]
        self.tables = sorted(
            connection.introspection.django_table_names(only_existing=True, include_views=False)
        )
        quote = connection.ops.quote_name
        asked = (f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {quote(table)})" for table in self.tables)
        self.which = " UNION ALL ".join(asked)
        with connection.cursor() as cursor:
            self.kept = {table: self._rows(cursor, table) for table in self._filled(cursor)}

    def empty(self) -> None:
        """Leave what there was; constraints are looked at once all is done."""
        quote = connection.ops.quote_name
        with atomic(), connection.cursor() as cursor:
            filled = self._filled(cursor)
            same = [table for table in self.kept if self._rows(cursor, table) == self.kept[table]]
            for table in set(filled) - set(same):
                cursor.execute(f"DELETE FROM {quote(table)}")
            for table in self.kept.keys() - set(same):
                rows = self.kept[table]
                places = ", ".join(["%s"] * len(rows[0]))
                cursor.executemany(f"INSERT INTO {quote(table)} VALUES ({places})", rows)

    def _filled(self, cursor: Any) -> list[str]:
        cursor.execute(self.which)
        return [table for (table,) in cursor.fetchall()]

    def _rows(self, cursor: Any, table: str) -> list[tuple[Any, ...]]:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY 1")
        return list(cursor.fetchall())


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Remember what the new database holds, and have it emptied to that."""
    with django_db_blocker.unblock():
        emptied = Emptied()
    anew = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]

    def teardown(case: TransactionTestCase) -> None:
        if connection.settings_dict["NAME"] == emptied.name:
            emptied.empty()
        else:
            anew(case)

    TransactionTestCase._fixture_teardown = teardown  # type: ignore[attr-defined]
