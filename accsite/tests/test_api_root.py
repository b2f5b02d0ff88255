"""The API's root lists its endpoints, its schema is OpenAPI 3.1, and its documentation is our own."""

from __future__ import annotations

import pytest
from django.core.management import call_command


def test_the_schema_is_valid_and_made_without_a_warning(tmp_path):
    path = tmp_path / "schema.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(path))
    assert path.read_text().startswith("openapi: 3.1")


@pytest.mark.django_db
def test_an_address_that_is_not_there_is_a_problem_too(admin_client):
    response = admin_client.post("/api/v1/no/such/thing/", {}, content_type="application/json")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert "there is no POST /api/v1/no/such/thing/" in response.json()["detail"]


@pytest.mark.django_db
def test_a_problem_is_json_even_to_those_who_asked_for_something_else(client):
    response = client.get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi"})
    assert response.status_code in {401, 403}
    assert response.json()["status"] == response.status_code


@pytest.mark.django_db
def test_the_root_and_the_schema_answer_a_user(admin_client):
    assert admin_client.get("/api/v1/").status_code == 200
    assert admin_client.get("/api/v1/schema/").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/docs/", "/api/docs/?script=", "/api/docs/redoc/"])
def test_the_documentation_is_served(admin_client, path):
    assert admin_client.get(path).status_code == 200
