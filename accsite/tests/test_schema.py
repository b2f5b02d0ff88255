"""A database whose tables are not the models' is told of, whatever its migrations are called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accsite import schema
from accsite.apps.operations import doctor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

JOB = "jobs_job"
CHANGES: dict[str, tuple[str, str, str]] = {
    "a column that came later": (
        f"ALTER TABLE {JOB} RENAME COLUMN message TO words",
        f"ALTER TABLE {JOB} RENAME COLUMN words TO message",
        f"{JOB}.message is missing",
    ),
    "a column that is gone": (
        f"ALTER TABLE {JOB} ADD COLUMN older integer NULL",
        f"ALTER TABLE {JOB} DROP COLUMN older",
        f"{JOB}.older is not known",
    ),
    "a table that came later": (
        "ALTER TABLE jobs_jobevent RENAME TO jobs_older",
        "ALTER TABLE jobs_older RENAME TO jobs_jobevent",
        "jobs_jobevent is missing",
    ),
}


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def ready() -> tuple[int, Any]:
    answer = Client().get("/readyz")
    return answer.status_code, json.loads(answer.content)["database"]


def test_a_migrated_database_has_the_tables_of_the_models():
    assert schema.differences() == []
    assert ready()[1] == "ok"


@pytest.mark.parametrize("change", CHANGES)
def test_one_of_another_version_is_neither_ready_nor_well(change: str):
    there, back, told = CHANGES[change]
    assert ready()[1] == "ok"
    run(there)
    try:
        # PostgreSQL's state is told by its migrations alone, so that a site that runs looks again at its next start.
        schema._seen.clear()
        assert ready() == (503, "other schema")
        [finding] = doctor.database()
        assert (finding.state, told in finding.text) == ("failure", True)
        assert "another version of ACC" in finding.remedy
        with pytest.raises(schema.OtherSchema, match=told):
            schema.assert_schema()
    finally:
        run(back)
    assert ready()[1] == "ok"
    assert schema.differences() == []


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite changes no type of a column")
def test_a_column_of_another_type_is_told():
    run(f"ALTER TABLE {JOB} ALTER COLUMN message TYPE varchar(7)")
    try:
        [told] = schema.differences()
        assert told.startswith(f"{JOB}.message is character varying(7), not ")
    finally:
        run(f"ALTER TABLE {JOB} ALTER COLUMN message TYPE text")
