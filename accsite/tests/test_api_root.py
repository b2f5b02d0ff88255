"""The API's root lists its endpoints, its schema is OpenAPI 3.1, and its documentation is our own."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from rest_framework.decorators import api_view, permission_classes, renderer_classes
from rest_framework.renderers import BaseRenderer
from rest_framework.test import APIRequestFactory

from acc.errors import InvalidInput


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


def test_a_problem_is_json_even_where_answers_are_tables():
    class Table(BaseRenderer):
        media_type, format = "text/csv", "csv"

        def render(self, data, accepted_media_type=None, renderer_context=None):
            raise AssertionError("a problem is not a table")

    @api_view()
    @renderer_classes([Table])
    @permission_classes([])
    def broken(request):
        raise InvalidInput({"steps": "0 is too few; use 1 or more"})

    response = broken(APIRequestFactory().get("/")).render()
    assert response["Content-Type"] == "application/problem+json"
    assert json.loads(response.content)["errors"] == {"steps": ["0 is too few; use 1 or more"]}


@pytest.mark.django_db
def test_the_root_and_the_schema_answer_a_user(admin_client):
    assert admin_client.get("/api/v1/").status_code == 200
    assert admin_client.get("/api/v1/schema/").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/docs/", "/api/docs/?script=", "/api/docs/redoc/"])
def test_the_documentation_is_served(admin_client, path):
    assert admin_client.get(path).status_code == 200
