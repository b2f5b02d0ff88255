"""The registry over HTTP shows what can be chosen, what is broken and why, and every source ever used."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from accsite.apps.registry.tests.reports import bad, described, good, look

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> APIClient:
    client = APIClient()
    client.force_login(get_user_model().objects.create_user("ann"))
    return client


def get(api: APIClient, where: str, status: int = 200) -> Any:
    response = api.get(f"/api/v1/{where}")
    assert response.status_code == status, response.content
    return response.json()


def test_each_kind_lists_its_classes_with_their_parameters(api: APIClient) -> None:
    look(
        good("tasks/a.py", "OneTask"),
        good("generators/b.py", "Maker", kind="generator"),
        good("recipes/c.py", "Plan", kind="recipe"),
        good("models/d.py", "Net", kind="model"),
    )
    for kind, name in (("tasks", "OneTask"), ("generators", "Maker"), ("recipes", "Plan"), ("models", "Net")):
        found = get(api, f"registry/{kind}/")
        assert [row["name"] for row in found["results"]] == [name]
    row = get(api, "registry/tasks/OneTask/")
    assert row["params"] == described("x")["params"]
    assert (row["path"], row["available"], row["requires"]["target"]) == ("tasks/a.py", True, "class")


def test_a_removed_class_leaves_the_list_and_is_still_found_by_name(api: APIClient) -> None:
    look(good("tasks/a.py", "Gone"))
    look(present=[])
    assert get(api, "registry/tasks/")["count"] == 0
    assert get(api, "registry/tasks/?all=true")["count"] == 1
    assert get(api, "registry/tasks/Gone/")["available"] is False


def test_the_source_of_a_class_is_found_by_its_hash(api: APIClient) -> None:
    report = good("tasks/a.py", "One", text="x = 'ö'\n")
    look(report)
    sha256 = get(api, "registry/tasks/One/")["sha256"]
    assert sha256 == report.sha256
    assert get(api, f"plugin-sources/{sha256}/")["text"] == "x = 'ö'\n"


def test_a_broken_file_shows_message_line_and_the_lines_around_it(api: APIClient) -> None:
    look(good("tasks/a.py", "One"), bad("tasks/b.py"))
    rows = {row["path"]: row for row in get(api, "plugin-files/")["results"]}
    assert rows["tasks/a.py"]["error"] is None
    assert rows["tasks/b.py"]["error"]["line"] == 2
    assert rows["tasks/b.py"]["error"]["context"].endswith(">    2 | import nowhere")
    assert [row["path"] for row in get(api, "plugin-files/?broken=true")["results"]] == ["tasks/b.py"]
    assert get(api, "plugin-files/tasks/b.py/")["error"]["message"] == "cannot import 'nowhere'"


def test_a_flag_that_is_none_is_refused_by_name(api: APIClient) -> None:
    problem = get(api, "registry/tasks/?all=maybe", 422)
    assert problem["errors"] == {"all": ["'maybe' is neither true nor false"]}


def test_an_unknown_class_is_404_and_a_stranger_is_refused(api: APIClient) -> None:
    assert get(api, "registry/tasks/Nobody/", 404)["status"] == 404
    assert APIClient().get("/api/v1/registry/tasks/").status_code in {401, 403}


def test_nothing_can_be_written_through_the_api(api: APIClient) -> None:
    for method in (api.post, api.put, api.patch, api.delete):
        assert method("/api/v1/registry/tasks/", {}, format="json").status_code == 405


def test_a_list_costs_the_same_queries_however_long_it_is(
    api: APIClient, django_assert_max_num_queries: Any
) -> None:
    look(*(good(f"tasks/t{number}.py", f"T{number}") for number in range(30)))
    with django_assert_max_num_queries(4):
        assert get(api, "registry/tasks/")["count"] == 30
