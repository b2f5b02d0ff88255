"""``manage.py plugins`` shows from a shell what the page shows."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accsite.apps.registry import approval
from accsite.apps.registry.tests.reports import bad, good, look

pytestmark = pytest.mark.django_db


def run(*arguments: str, **options: Any) -> tuple[str, str]:
    """Return what the command prints and what it complains of."""
    out, err = io.StringIO(), io.StringIO()
    call_command("plugins", *arguments, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def test_list_names_the_classes_and_the_broken_files() -> None:
    look(good("tasks/a.py", "OneTask", label="[One]"), bad("tasks/b.py"))
    out, err = run("list")
    assert "OneTask" in out
    assert "[One]" in out
    assert "steps" in out
    assert "tasks/b.py:2: cannot import 'nowhere'" in err


def test_list_leaves_out_what_was_removed_unless_asked() -> None:
    look(good("tasks/a.py", "Gone"))
    look(present=[])
    assert "Gone" not in run("list")[0]
    assert "source removed" in run("list", "--all")[0]


def test_list_of_one_kind() -> None:
    look(good("tasks/a.py", "OneTask"), good("recipes/c.py", "Plan", kind="recipe"))
    out, _ = run("list", "--kind", "recipe")
    assert "Plan" in out
    assert "OneTask" not in out


def test_show_tells_needs_parameters_and_what_is_wrong_with_the_file() -> None:
    look(good("tasks/a.py", "OneTask"))
    look(bad("tasks/a.py"))
    out, err = run("show", "OneTask")
    for words in ("What OneTask does.", "target class", "steps", "2 to 64 px", "columns"):
        assert words in out
    assert "this is its last good version" in err
    assert "import nowhere" in err


def test_show_source_prints_it_and_nothing_else() -> None:
    look(good("tasks/a.py", "OneTask", text="class OneTask: ...\n"))
    assert run("show", "OneTask", "--source") == ("class OneTask: ...\n", "")


def test_json_gives_what_the_api_gives() -> None:
    look(good("tasks/a.py", "OneTask"))
    listed, shown = run("--json", "list")[0], run("--json", "show", "OneTask")[0]
    assert listed == shown
    assert json.loads(listed)["params"][0]["name"] == "steps"


def test_an_unknown_name_ends_with_status_2_and_names_the_known() -> None:
    look(good("tasks/a.py", "OneTask"))
    err = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("plugins", "show", "Nobody", stderr=err)
    assert end.value.code == 2
    assert "error: name: 'Nobody' is not a known plugin; known: OneTask" in err.getvalue()


def test_the_approval_of_what_is_on_the_disk_cannot_be_withdrawn() -> None:
    report = good("tasks/a.py", "OneTask")
    source = approval.keep(sha256=report.sha256, path=report.path, text=report.text, origin="came")
    run("approve", source.pk, "--yes")
    look(report)
    with pytest.raises(SystemExit):
        run("withdraw", source.pk)
    source.refresh_from_db()
    assert source.on_disk_at is not None
    assert source.approved_at is not None


def test_the_lists_of_sources_read_no_text(admin_client: Any) -> None:
    look(good("tasks/a.py", "OneTask"))
    report = good("tasks/b.py", "Foreign")
    approval.keep(sha256=report.sha256, path=report.path, text=report.text, origin="came")
    with CaptureQueriesContext(connection) as asked:
        assert "tasks/b.py" in admin_client.get("/plugins/").content.decode()
        assert report.sha256 in run("sources")[0]
    assert [each["sql"] for each in asked if '"registry_pluginsource"."text"' in each["sql"]] == []
