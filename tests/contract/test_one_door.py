"""What has words of its own on each face is done through one action: the log names it once, and rights are asked."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client

from accsite.actions import NOT_ALLOWED
from accsite.apps.audit.models import AuditEntry
from accsite.apps.training.models import Branch, Checkpoint, ExperimentShare, Visibility
from accsite.apps.training.tests import rows
from accsite.apps.trees.services.deletion import delete_checkpoint

pytestmark = pytest.mark.django_db
API = "/api/v1"
PAGES: dict[str, tuple[str, dict[str, str]]] = {
    "checkpoint mark": ("/checkpoints/{leaf}/mark/", {"starred": "1"}),
    "checkpoint evaluate": ("/checkpoints/{leaf}/evaluate/", {}),
    "checkpoint delete": ("/checkpoints/{leaf}/delete/", {}),
    "branch load": ("/checkpoints/{leaf}/load/", {"branch": "{branch}"}),
    "branch change": ("/evaluate/branch/{branch}/auto/", {"auto_evaluate": "off"}),
    "experiment restore": ("/experiments/digits/keep/", {"restore": "{deletion}"}),
}
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "checkpoint mark": ("patch", "/checkpoints/{leaf}/", {"note": "good"}),
    "checkpoint evaluate": ("post", "/eval/run/", {"checkpoint": "{leaf}"}),
    "checkpoint delete": ("delete", "/checkpoints/{leaf}/", {}),
    "branch load": ("post", "/branches/{branch}/load/", {"checkpoint": "{leaf}"}),
    "branch change": ("patch", "/branches/{branch}/", {"name": "Trunk", "auto_evaluate": "off"}),
    "experiment restore": ("post", "/experiments/digits/restore/", {"deletion": "{deletion}"}),
}
COMMANDS = {
    "checkpoint mark": (
        "checkpoints star {leaf}",
        "checkpoints tag {leaf} best",
        "checkpoints note {leaf} so",
    ),
    "checkpoint evaluate": ("evaluate {leaf}",),
    "checkpoint delete": ("checkpoints delete {leaf}",),
    "branch load": ("checkpoints load {leaf} main",),
    "experiment restore": ("checkpoints restore digits {deletion}",),
}
EVERY_COMMAND = [(name, line) for name, lines in COMMANDS.items() for line in lines]


@pytest.fixture
def named() -> dict[str, Any]:
    """Return what addresses and words name: of a private experiment whose owner is ada, and which rob may look at."""
    ada, rob = User.objects.create_user("ada"), User.objects.create_user("rob")
    for user in (ada, rob):
        user.groups.add(Group.objects.get(name="researcher"))
    rows.make_plugins()
    branch = rows.make_branch(ada, "digits", visibility=Visibility.PRIVATE)
    ExperimentShare.objects.create(experiment=branch.experiment, user=rob, level="view")
    rows.make_task(branch, rows.make_dataset())
    root = rows.make_checkpoint(branch)
    leaf, gone = rows.make_checkpoint(branch, parent=root), rows.make_checkpoint(branch, parent=root)
    deletion = delete_checkpoint(actor=ada, checkpoint=gone).id
    return {"branch": branch.pk, "leaf": leaf.pk, "deletion": deletion}


def filled(fields: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    return {name: text.format(**named) for name, text in fields.items()}


def state() -> list[Any]:
    marks = list(
        Checkpoint.everything.order_by("pk").values_list("pk", "tag", "note", "starred", "deleted_at")
    )
    return [*marks, *Branch.objects.values_list("name", "head", "auto_evaluate")]


def newest() -> AuditEntry:
    found = AuditEntry.objects.order_by("pk").last()
    assert found is not None
    return found


@pytest.mark.parametrize("name", PAGES)
def test_the_log_names_it_alike_for_a_page_and_the_api(name: str, named: dict[str, Any]) -> None:
    ada = Client()
    ada.force_login(User.objects.get(username="ada"))
    where, fields = PAGES[name]
    answer = ada.post(where.format(**named), filled(fields, named))
    assert answer.status_code == 302, answer.text
    assert (newest().action, newest().via) == (name, "page")
    if name in ("checkpoint delete", "experiment restore"):  # which is done once
        Checkpoint.everything.filter(pk=named["leaf"]).update(deleted_at=None, deletion=None)
        gone = Checkpoint.everything.exclude(pk=named["leaf"]).order_by("-pk")[0]
        if gone.deleted_at is None:
            named["deletion"] = delete_checkpoint(actor=None, checkpoint=gone).id
    verb, path, body = REQUESTS[name]
    asked = getattr(ada, verb)
    answer = asked(API + path.format(**named), filled(body, named), content_type="application/json")
    assert answer.status_code in {200, 202}, answer.text
    assert (newest().action, newest().via) == (name, "api")


@pytest.mark.parametrize(("name", "line"), EVERY_COMMAND)
def test_a_shell_is_refused_for_one_who_may_only_look(
    name: str, line: str, named: dict[str, Any], capsys: Any
) -> None:
    words, before = line.format(**named).split(), state()
    with pytest.raises(SystemExit) as ended:
        call_command(*words, "--user", "rob")
    assert ended.value.code == 1
    assert NOT_ALLOWED in capsys.readouterr().err
    assert state() == before
    assert not AuditEntry.objects.exists()
    call_command(*words, "--user", "ada")
    assert (newest().action, newest().via) == (name, "command")
    assert isinstance(named["deletion"], UUID)
