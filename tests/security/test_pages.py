"""Pages tell nobody of what is private, and take forms from those alone who may change what they are about."""

from __future__ import annotations

import re

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from accsite import actions
from tests.security.test_authorisation_matrix import (
    ACTIONS,
    CHANGES,
    LOOKS,
    MANAGES,
    OPERATES,
    RUNS,
    SEES,
    STEERS,
    who_acts,
)
from tests.security.world import SECRET, routes

pytestmark = pytest.mark.django_db

# Who may send a form to a page about one thing; pages that only show are asked as well, and refuse all the same.
ABOUT: dict[str, set[str]] = {
    **{f"training:{name}": CHANGES for name in ("workbench", "workbench-panel", "train", "task-add", "task")},
    **{
        f"trees:{name}": CHANGES for name in ("experiment", "experiment-keep", "checkpoint", "checkpoint-act")
    },
    **{f"{actions.things_of(kind.on).namespace}:{name}": who_acts(kind) for name, kind in ACTIONS.items()},
    "trees:checkpoint-model": CHANGES,  # it shows only
    "trees:experiment-sharing": MANAGES,
    "notes:branch-note": CHANGES,
    "notes:experiment-note": CHANGES,
    "training:job": STEERS,
    "registry:source": {"administrator"},
    "training:job-panel": STEERS,
    "training:job-resume": STEERS,
    "training:job-log": SEES,  # it shows only
    "training:rate": STEERS,
    "runs:delete-view": set(),  # this one is nobody's
    **{f"latent:{name}": CHANGES for name in ("heads", "decoder")},  # they show only
    "datasets:dataset-looked": LOOKS,
    "datasets:dataset-looked-picture": LOOKS,  # it shows only
    "training:job-control": STEERS,
    "jobs:queue-change": OPERATES,
    "jobs:worker-change": OPERATES,
    "recipes:recipe-run": RUNS,
    "recipes:recipe-control": RUNS,
    **{
        f"evaluation:{name}": CHANGES
        for name in (
            *("auto", "branch", "run", "branch-reconstructions", "artifact"),
            *("checkpoint", "ask", "jobs", "threshold", "print", "export", "tab"),
        )
    },
}
OWN = {"access", "admin", "api"}
OF_ONESELF = {"news:seen", "news:first"}  # whoever may look may say what they have read


def pages():
    """Yield (name, names of arguments) of every page."""
    for namespace, where, pattern in routes():
        if namespace in OWN or not pattern.name or where.startswith(("api/", "admin/")):
            continue
        name = f"{namespace}:{pattern.name}" if namespace else pattern.name
        yield name, set(re.findall(r"<\w+:(\w+)>", where))


PAGES = list(pages())


@pytest.mark.parametrize(("name", "arguments"), PAGES, ids=[name for name, _ in PAGES])
def test_a_page_tells_nothing_of_what_is_private_and_takes_no_form_from_those_who_may_not(
    name, arguments, world
):
    where = reverse(name, kwargs=world.arguments(name.partition(":")[2], arguments))
    about = bool(arguments & {"experiment", "branch", "pk"}) or name.startswith("trees:experiment")
    if about and arguments:
        assert name in ABOUT, "say in ABOUT who may send this page a form"
    taken = set()
    for person, user in world.users.items():
        client = Client(raise_request_exception=False)
        if user is not None:
            client.force_login(user)
        with transaction.atomic():
            shown, sent = client.get(where), client.post(where, {})
            transaction.set_rollback(True)
        if user is None:
            assert shown.status_code == sent.status_code == 302 or name == "operations:metrics"
            continue
        assert shown.status_code != 500
        text = "" if shown.streaming else shown.content.decode(errors="replace")
        if person not in SEES:
            assert SECRET not in text.replace(where, "")
        if sent.status_code not in {403, 404}:
            taken.add(person)
    if name in ABOUT:
        assert taken <= ABOUT[name]
    assert "viewer" not in taken or sent.status_code == 405 or name in OF_ONESELF
