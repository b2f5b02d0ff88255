"""Every line that a page lets one copy does what it says: the schema knows it, the API takes it, the shell too."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.management import get_commands, load_command_class
from django.db import transaction
from django.test import Client
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from accsite import blobs
from accsite.apps.datasets.services import create_dataset
from accsite.apps.datasets.tests.conftest import made
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db
EXPECTED = 16
"""How many snippets there are at least, so that pages that lost theirs are noticed."""


class Found(HTMLParser):
    """What a page offers to copy, and the fields of its forms: by the id of the form, or of what it lies in."""

    def __init__(self) -> None:
        super().__init__()
        self.snippets: list[dict[str, str]] = []
        self.fields: dict[str, dict[str, Any]] = {}
        self.form = self.last_id = self.select = ""
        self.first = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.form = found.get("id") or self.last_id
        elif found.get("id") and tag in {"section", "details", "div"}:
            self.last_id = found["id"]
        if "data-path" in found and "copy-as" in found.get("class", ""):
            self.snippets.append(found)
        if tag == "select":
            self.select, self.first = found.get("name", ""), True
        elif tag == "option" and self.select:
            if self.first or "selected" in found:  # a browser takes the first one where none is chosen
                self._set(self.select, found.get("value", ""))
            self.first = False
        elif tag == "input" and found.get("type") not in {"hidden", "submit", "checkbox"}:
            value = found.get("value", "")
            number = found.get("type") == "number" and value
            self._set(found.get("name", ""), json.loads(value) if number else value)

    def _set(self, name: str, value: Any) -> None:
        fields = self.fields.setdefault(self.form, {})
        fields.pop(name, None)
        if name and value != "":
            fields[name] = value

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.form = ""
        elif tag == "select":
            self.select = ""

    def typed(self, selector: str) -> dict[str, Any]:
        return self.fields.get(selector.removeprefix("#").partition(" ")[0], {})


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada")


@pytest.fixture
def pages(ada: User) -> list[str]:
    """Return the addresses of pages that offer something to copy."""
    rows.make_plugins()
    draft = blobs.scratch() / "draft.safetensors"
    made(6).save(draft)
    dataset = create_dataset(actor=ada, name="Some digits", dataset_path=draft, provenance={})
    made(6, seed=1).save(draft)
    other = create_dataset(actor=ada, name="Other digits", dataset_path=draft, provenance={})
    branch = rows.make_branch(ada)
    rows.make_task(branch, dataset)
    job = rows.make_job(branch, state="SUCCEEDED", step=10, total_steps=10, created_by=ada)
    first = rows.make_checkpoint(branch, job)
    second = rows.make_checkpoint(branch, job, step=20, parent=first)
    branch.head = second
    branch.save()
    experiment = branch.experiment.slug
    plugin = rows.make_plugin(PluginKind.RECIPE, "Quickstart", params=[rows.named("where", "a b")])
    run = RecipeRun.objects.create(
        recipe="Quickstart", source=plugin.source, created_by=ada, params={"where": "it's here"}, seed=3
    )
    return [
        reverse("recipes:recipe-run", args=[run.pk]),
        reverse("trees:experiment", args=[experiment]) + f"?node={second.pk}",
        reverse("training:workbench", args=[experiment, branch.slug]),
        reverse("training:job", args=[job.pk]),
        reverse("datasets:dataset-new") + "?generator=HandwrittenDigits",
        reverse("datasets:detail", args=[dataset.slug]),
        reverse("datasets:compare") + f"?a={dataset.slug}&b={other.slug}",
        reverse("evaluation:checkpoint", args=[second.pk]),
        reverse("evaluation:compare") + f"?a={first.pk}&b={second.pk}",
    ]


def body_of(page: Found, snippet: dict[str, str]) -> Any:
    """Return what copy.js sends: the body, and in it what the form's fields hold."""
    body = json.loads(snippet["data-body"]) if snippet.get("data-body") else None
    if not snippet.get("data-form"):
        return body
    typed, into = page.typed(snippet["data-form"]), snippet.get("data-into")
    assert typed, f"{snippet['aria-label']}: no form is found by {snippet['data-form']!r}"
    if into:
        return {**(body or {}), into: {**(body or {}).get(into, {}), **typed}}
    return {**(body or {}), **typed}


def arguments_of(page: Found, snippet: dict[str, str]) -> list[str]:
    options = page.typed(snippet["data-form"]) if snippet.get("data-form") else {}
    flat = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return [*json.loads(snippet["data-cli"]), *flat]


def properties(schema: Any, part: Any) -> set[str]:
    """Return the names of all fields that an object of this schema, or of one of several, may have."""
    if "$ref" in part:
        return properties(schema, schema["components"]["schemas"][part["$ref"].rpartition("/")[2]])
    parts = [*part.get("oneOf", ()), *part.get("anyOf", ()), *part.get("allOf", ())]
    return set(part.get("properties", ())).union(*(properties(schema, each) for each in parts))


def test_what_a_page_lets_one_copy_is_taken(pages: list[str], ada: User) -> None:
    schema: Any = SchemaGenerator().get_schema(request=None, public=True)
    browser, api = Client(), APIClient()
    browser.force_login(ada)
    api.force_authenticate(ada)
    replayed = set()
    for where in pages:
        answer = browser.get(where)
        assert answer.status_code == 200, where
        page = Found()
        page.feed(answer.text)
        for snippet in page.snippets:
            what = f"{where}: {snippet['aria-label']}"
            method, path, body = snippet["data-method"], snippet["data-path"], body_of(page, snippet)
            replayed.add((snippet["aria-label"], method, urlsplit(path).path))
            operation = next(
                operations[method.lower()]
                for pattern, operations in schema["paths"].items()
                if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), urlsplit(path).path)
            )
            if body is not None:
                asked = operation["requestBody"]["content"]["application/json"]["schema"]
                assert set(body) <= properties(schema, asked), what
            with transaction.atomic():
                sent = getattr(api, method.lower())(
                    path, **({} if body is None else {"data": body, "format": "json"})
                )
                transaction.set_rollback(True)
            said = b"" if sent.streaming else sent.content
            # The checkpoints of this test are rows without weights.
            weightless = sent.status_code in {409, 422} and (b"weights" in said or b"is damaged" in said)
            assert sent.status_code in {200, 201, 202} or weightless, f"{what}: {said[:600]!r}"
            if "data-cli" in snippet:
                assert_taken(what, arguments_of(page, snippet))
    assert len(replayed) >= EXPECTED, sorted(replayed)


def assert_taken(what: str, words: list[str]) -> None:
    """Fail unless manage.py takes these words."""
    known = get_commands()
    assert words[0] in known, f"{what}: there is no manage.py {words[0]}"
    parser = load_command_class(known[words[0]], words[0]).create_parser("manage.py", words[0])
    parser.called_from_command_line = False
    parser.parse_args(words[1:])
