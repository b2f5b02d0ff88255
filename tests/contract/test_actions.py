"""Every action has the same faces: page, API, command, admin, client, palette, snippets; and all refuse alike."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.core.management import call_command, get_commands, load_command_class
from django.test import Client, RequestFactory
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator

from acc.client import Client as ApiClient
from accsite import actions
from accsite.actions import ActionType, commands, pages
from accsite.actions.admin import ActionsAdmin
from accsite.actions.commands import ActionCommand
from accsite.apps.audit.models import AuditEntry
from accsite.apps.jobs.models import Job
from tests.security.test_authorisation_matrix import who_acts
from tests.security.world import SECRET, World, make_world

pytestmark = pytest.mark.django_db
JSON = "application/json"
PARTIAL = {"HX-Request": "true"}
EVERY = actions.every()
WHY_NOT = "it cannot be done in this test"
each_action = pytest.mark.parametrize("kind", EVERY, ids=[kind.__name__ for kind in EVERY])


@pytest.fixture
def world() -> World:
    return make_world()


def browser(world: World, person: str) -> Client:
    client = Client()
    user = world.users[person]
    assert user is not None
    client.force_login(user)
    return client


def thing_of(things: actions.Things, world: World) -> Any:
    known = {**world.things, "dataset": world.dataset, "recipe-run": world.things["recipe"]}
    return known[things.name]


def address(kind: ActionType, thing: Any, namespace: str = "") -> str:
    things = actions.things_of(kind.on)
    if kind.button and not namespace:
        return reverse(kind.button, args=[things.key(thing)])
    return reverse(f"{namespace or things.namespace}:{things.name}-{kind.verb}", args=[things.key(thing)])


def command_of(kind: ActionType, thing: Any) -> list[str]:
    return actions.things_of(kind.on).in_a_shell(kind.verb, thing)


def form_of(kind: ActionType) -> dict[str, str]:
    """Return what a page sends that has a button of its own for it: by the name of what it is asked to do."""
    return {"verb": kind.verb, "kind": kind.verb} if kind.button else {}


def told(answer: Any) -> str:
    """Return what an answer says, and the page that it leads to."""
    return answer.text + " ".join(str(message) for message in get_messages(answer.wsgi_request))


def one_who_may(kind: ActionType) -> str:
    """Return somebody who may do it: the owner of the experiment, unless it is for operators."""
    return "owner" if "owner" in who_acts(kind) else "operator"


def in_the_admin(kind: ActionType, thing: Any, client: Client) -> Any:
    meta = kind.on._meta
    where = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return client.post(where, {"action": kind.verb, "_selected_action": thing.pk, "asked": "1"})


@each_action
def test_what_ends_its_object_is_asked_on_a_page_that_is_there_afterwards(kind: ActionType) -> None:
    assert kind.button or not kind.ends


def test_an_option_that_two_verbs_share_takes_no_other_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Greet(actions.Action):
        """Say hello to it."""

        on = Job
        verb: ClassVar[str] = "greet"
        limit: int = 1
        aloud: str = ""

    monkeypatch.setattr(commands, "actions_on", lambda _model: (Greet,))
    parser = load_command_class(get_commands()["jobs"], "jobs").create_parser("manage.py", "jobs")
    asked = parser.parse_args(["greet", "5", "--limit", "3", "--aloud", "hello"])
    assert (asked.verb, asked.limit, asked.aloud) == ("greet", 3, "hello")


def test_none_hides_another() -> None:
    names = [(kind.on, kind.verb) for kind in EVERY]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("things", actions.registered(), ids=lambda things: things.name)
def test_an_object_is_told_of_to_every_face(things: actions.Things, world: World) -> None:
    thing = thing_of(things, world)
    assert thing in things.seen_by(world.users["administrator"])
    assert browser(world, "administrator").get(things.page(thing)).status_code == 200
    assert things.where(thing) or things.find(None, things.word(thing)) == thing
    command = load_command_class(get_commands()[things.in_manage], things.in_manage)
    assert isinstance(command, ActionCommand)
    assert command.on is things.model
    assert isinstance(admin.site._registry[things.model], ActionsAdmin)
    assert reverse(f"api:{things.name}-detail", args=[things.key(thing)]).startswith(
        f"/api/v1/{things.plural}/"
    )
    paths = [getattr(rows, "_path", "") for rows in vars(ApiClient("http://127.0.0.1:1", "acc_0")).values()]
    assert things.plural in paths
    _, as_json = things.answer()
    json.dumps(as_json(things.seen_by(world.users["administrator"]).get(pk=thing.pk)), default=str)


@pytest.mark.parametrize("things", actions.registered(), ids=lambda things: things.name)
def test_its_page_has_a_place_for_actions_which_is_not_there_while_there_are_none(
    things: actions.Things, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = thing_of(things, world)
    client = browser(world, "administrator")
    where = things.page(thing)
    if things.name == "task":  # what can be done to one is behind its button
        where = reverse("training:task", args=[world.branch.experiment.slug, world.branch.slug, thing.pk])

    class Greet(actions.Action):
        """Say hello to it."""

        on = things.model
        verb: ClassVar[str] = "greet"
        label: ClassVar[str] = "Greet"
        said: ClassVar[str] = "Hello."

    place = pages.shown(world.users["administrator"], thing)["place_of_actions"]
    for kinds, there in ((), False), ((Greet,), True):
        monkeypatch.setattr(pages, "actions_on", lambda _model, kinds=kinds: kinds)
        monkeypatch.setattr(
            pages,
            "_shown",
            lambda kind, *_: {"verb": kind.verb, "label": kind.label, "opened": False, "impossible": ""},
        )
        page = client.get(where).text
        assert ("Greet…" in page) == there
        assert (f'id="{place}"' in page) == there or things.show is not None


@each_action
def test_it_stands_on_the_page_of_its_object_with_what_is_copied_and_for_the_palette(
    kind: ActionType, world: World
) -> None:
    thing = thing_of(actions.things_of(kind.on), world)
    client = browser(world, one_who_may(kind))
    if kind.button:  # the page has it in words and at a place of its own
        assert client.get(actions.things_of(kind.on).page(thing)).status_code == 200
        assert client.post(address(kind, thing), form_of(kind)).status_code == 302
        return
    things = actions.things_of(kind.on)
    left_out = things.only_possible and bool(kind.possible(thing))
    for where in (things.page(thing), address(kind, thing)):
        page = client.get(where)
        if left_out and where == things.page(thing):
            assert f'id="{kind.verb}-form-{thing.pk}"' not in page.text
            continue
        assert page.status_code == 200
        assert f'id="{kind.verb}-form-{thing.pk}"' in page.text
        assert f'action="{address(kind, thing)}"' in page.text
        if kind.possible(thing):
            assert kind.possible(thing) in page.text
            continue
        for name in kind.model_fields:
            assert (f'name="{name}"' in page.text) == bool(kind.choices(thing).get(name, True))
        assert f'data-path="{address(kind, thing, "api")}"' in page.text
        assert json.dumps(command_of(kind, thing)).replace('"', "&quot;") in page.text
    shown = client.get(things.page(thing)).text
    assert left_out or f'<summary class="btn" data-action="{kind.label} this' in shown


@pytest.fixture(scope="module")
def schema() -> Any:
    """Return the API's schema: to make it takes a quarter of a second, and all actions stand in the same."""
    return SchemaGenerator().get_schema(request=None, public=True)


@each_action
def test_the_schema_says_what_it_asks_and_what_comes_of_it(kind: ActionType, schema: Any) -> None:
    things = actions.things_of(kind.on)
    field = {"pk": "id"}.get(things.field, things.field)
    operation = schema["paths"][f"/api/v1/{things.plural}/{{{field}}}/{kind.verb}/"]["post"]
    assert operation["description"].split("\n\n")[0].replace("\n", " ") == actions.summary(kind)
    assert {"409", "422", "204" if kind.ends else "201" if kind.makes else "200"} <= set(
        operation["responses"]
    )
    if kind.model_fields:
        asked = operation["requestBody"]["content"][JSON]["schema"]
        asked = schema["components"]["schemas"][asked["$ref"].rpartition("/")[2]]
        assert set(asked["properties"]) == set(kind.model_fields)


@each_action
def test_the_shell_the_admin_and_the_client_know_it(kind: ActionType, world: World) -> None:
    thing = thing_of(actions.things_of(kind.on), world)
    name, *words = command_of(kind, thing)
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    assert parser.parse_args(words).verb == kind.verb
    request = RequestFactory().get("/")
    request.user = world.users["administrator"]  # type: ignore[assignment]
    offered = admin.site._registry[kind.on].get_actions(request)
    assert list(offered[kind.verb] or ())[2] == (kind.in_a_list or kind.label)
    asked = []
    client = ApiClient("http://127.0.0.1:1", "acc_0")
    client._transport.json = lambda *words: asked.append(words)  # type: ignore[method-assign]
    things = actions.things_of(kind.on)
    rows = next(each for each in vars(client).values() if getattr(each, "_path", "") == things.plural)
    rows.act(things.key(thing), kind.verb, name="x")
    assert asked == [("POST", address(kind, thing, "api").removeprefix("/api/v1/"), {"name": "x"})]
    getattr(rows, kind.verb)(things.key(thing))
    assert asked[1][:2] == asked[0][:2]


@each_action
def test_those_who_may_not_are_refused_on_every_face(kind: ActionType, world: World, capsys: Any) -> None:
    thing = thing_of(actions.things_of(kind.on), world)
    things = actions.things_of(kind.on)
    seen = []  # by somebody who may not: whoever sees a study and may make one may copy it
    for person in {"viewer", "stranger", "reader"} - who_acts(kind):
        sees = things.seen_by(world.users[person]).filter(pk=thing.pk).exists()
        seen.append(sees)
        code, status = (403, 1) if sees else (404, 2)
        client = browser(world, person)
        shown = client.get(things.page(thing))
        assert shown.status_code == (200 if sees else 404)
        assert f"{kind.verb}-form" not in shown.text
        assert client.post(address(kind, thing), form_of(kind)).status_code == code
        assert client.post(address(kind, thing), form_of(kind), headers=PARTIAL).status_code == code
        refused = client.post(address(kind, thing, "api"), {}, content_type=JSON)
        assert refused.status_code in {403, code}
        if not sees:
            assert SECRET not in refused.text
        with pytest.raises(SystemExit) as ended:
            call_command(*command_of(kind, thing), "--user", person)
        assert ended.value.code == status
    assert (kind.not_allowed in capsys.readouterr().err) == any(seen)
    assert browser(world, "reader").get(address(kind, thing, "api")).status_code == 405
    assert not AuditEntry.objects.filter(action__endswith=kind.verb).exists()


@each_action
def test_what_is_not_possible_is_refused_in_the_same_words_on_every_face(
    kind: ActionType, world: World, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(kind, "possible", classmethod(lambda _kind, _thing: WHY_NOT))
    thing = thing_of(actions.things_of(kind.on), world)
    owner, root = browser(world, one_who_may(kind)), browser(world, "administrator")
    user = world.users["administrator"]
    assert user is not None
    user.is_staff = user.is_superuser = True
    user.save()
    things = actions.things_of(kind.on)
    if not kind.button:
        assert (WHY_NOT in owner.get(things.page(thing)).text) != things.only_possible
    for headers in ({}, PARTIAL):
        page = owner.post(address(kind, thing), form_of(kind), headers=headers)
        assert kind.button or page.status_code == 422
        assert WHY_NOT in told(page)
    answer = owner.post(address(kind, thing, "api"), {}, content_type=JSON)
    assert (answer.status_code, answer.json()["errors"]) == (409, {"__all__": [WHY_NOT]})
    with pytest.raises(SystemExit) as ended:
        call_command(*command_of(kind, thing))
    assert ended.value.code == 2
    assert f"error: {WHY_NOT}" in capsys.readouterr().err
    refused = in_the_admin(kind, thing, root)
    assert WHY_NOT in told(refused)
    if not kind.button:
        assert not AuditEntry.objects.exists()


@each_action
def test_a_field_that_there_is_not_is_refused_by_name(
    kind: ActionType, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "possible", classmethod(lambda _kind, _thing: ""))
    thing = thing_of(actions.things_of(kind.on), world)
    answer = browser(world, one_who_may(kind)).post(
        address(kind, thing, "api"), {"nonsense": 1}, content_type=JSON
    )
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == ["nonsense"]
