"""The page of plugins shows each class with its source, and what was looked for."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils.html import escape

from accsite.apps.registry.models import Plugin
from accsite.apps.registry.tests.reports import bad, good, look

pytestmark = pytest.mark.django_db


def names(page: Any) -> list[str]:
    return [row.plugin.name for kind in page.context["kinds"] for row in kind.rows]


def test_words_and_kind_choose_and_the_panel_keeps_the_choice(admin_client: Client) -> None:
    look(good("tasks/a.py", "OneTask", label="First of all"), good("tasks/b.py", "OtherTask"))
    assert {"OneTask", "OtherTask"} <= set(names(admin_client.get("/plugins/")))
    found = admin_client.get("/plugins/?q=FIRST+of")
    assert names(found) == ["OneTask"]
    assert found.context["plugins_url"] == "/plugins/?q=FIRST+of"
    assert [kind.count for kind in found.context["kinds"] if kind.kind == "task"] == [2]
    assert names(admin_client.get("/plugins/?kind=recipe")) == []
    assert names(admin_client.get("/plugins/?kind=task&q=b.py")) == ["OtherTask"]


def test_a_source_is_one_click_away_and_what_is_broken_stands_first(admin_client: Client) -> None:
    look(good("tasks/a.py", "OneTask"), bad("tasks/b.py"))
    page = admin_client.get("/plugins/?q=nothing-is-called-so").content.decode()
    assert "tasks/b.py" in page  # whatever was looked for
    page = admin_client.get("/plugins/").content.decode()
    source = f"/plugins/sources/{Plugin.objects.get(name='OneTask').source_id}/"
    assert page.index("broken-") < page.index('id="task-OneTask"') < page.index(source)
    assert admin_client.get(source).status_code == 200


def test_a_newcomer_finds_the_shortest_plugin_and_where_to_save_it(
    client: Client, admin_client: Client, django_user_model: Any
) -> None:
    shown = admin_client.get("/plugins/")
    how = (settings.ROOT / "docs" / "howto" / "task.md").read_text()
    assert f'title="plugins/tasks/small_code.py"\n{shown.context["example"]}```' in how
    assert escape(f"{settings.PLUGINS_ROOT}/tasks/small_code.py") in shown.content.decode()
    client.force_login(django_user_model.objects.create_user("ada"))
    theirs = client.get("/plugins/").content.decode()
    assert "<code>plugins/tasks/small_code.py</code>" in theirs
    assert str(settings.PLUGINS_ROOT) not in theirs
