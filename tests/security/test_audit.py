"""What was done stands in the audit log with who did it, by which door and to what; what was refused does not."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accsite.apps.access.services import make_sign_in_link
from accsite.apps.audit.models import AuditEntry
from accsite.tests.browsers import signed_in
from tests.security.test_authorisation_matrix import CASES
from tests.security.world import SECRET

pytestmark = pytest.mark.django_db


def entry(**fields):
    """Return the newest entry, which must be like this, and what it is about."""
    found = AuditEntry.objects.filter(**fields).first()
    assert found is not None, list(AuditEntry.objects.values("actor_name", "via", "action"))
    return found, {about.name for about in found.about.all()}


def test_a_form_is_recorded_with_the_experiment_that_it_changed(world):
    task = world.things["task"]
    where = reverse("training:task", args=[SECRET, "main", task.pk])
    editor = signed_in(world.users["editor"])
    assert editor.post(where, {"weight": "none"}, headers={"HX-Request": "true"}).status_code == 422
    assert signed_in(world.users["reader"]).post(where, {"weight": "2"}).status_code == 403
    assert not AuditEntry.objects.filter(action="task").exists()
    assert editor.post(where, {"weight": "2", "password": "hush"}).status_code == 302
    found, about = entry(action="task", via="page", actor_name="editor")
    assert found.detail == {"weight": "2"}
    assert about >= {
        f"task:{task.pk}",
        f"tasks:{task.branch_id}",
        f"experiment:{task.branch.experiment_id}",
    }


def test_the_api_and_commands_are_recorded(world):
    job = world.things["job"]
    where = f"/api/v1/jobs/{job.pk}/control/"
    done = signed_in(world.users["operator"]).post(where, {"kind": "stop"}, content_type="application/json")
    assert done.status_code == 202
    found, about = entry(action="job control", via="api", actor_name="operator")
    assert found.detail == {"kind": "stop"}
    assert {f"job:{job.pk}", f"experiment:{world.branch.experiment_id}"} <= about
    with pytest.raises(SystemExit):
        call_command("train", "--experiment", SECRET, "--user", "owner", "--steps", "0")
    assert not AuditEntry.objects.filter(via="command").exists()
    call_command("train", "--experiment", SECRET, "--user", "owner", "--steps", "5")
    _, about = entry(action="train", via="command", actor_name="owner")
    assert f"experiment:{world.branch.experiment_id}" in about


ODD = [
    ("application/x-www-form-urlencoded", b""),
    ("application/x-www-form-urlencoded", b"a=1&kind=stop"),
    ("multipart/form-data; boundary=b", b"--b--\r\n"),
    ("multipart/form-data", b"no boundary"),
    ("text/plain", b"{}"),
    ("application/json", b""),
    ("application/json", b"{"),
    ("application/json", b"[]"),
    ("application/json", b'"text"'),
    ("application/json", b'{"kind": "\\u0000"}'),
    ("application/json; charset=odd", b"\xff"),
    ("odd", b"x"),
    ("", b"x"),
]
WRITING = [case for case in CASES if case[0] != "GET"]
NO_DEEDS = {"news-read"}
"""They note what their sender has read, which is recorded nowhere."""


@pytest.mark.parametrize(("method", "name", "arguments"), WRITING, ids=[f"{m} {n}" for m, n, _ in WRITING])
def test_whatever_body_is_sent_an_action_is_refused_or_done_and_recorded(method, name, arguments, world):
    client = APIClient(raise_request_exception=False)
    client.force_login(world.users["administrator"])
    where = reverse(f"api:{name}", kwargs=world.arguments(name, arguments))
    for kind, body in ODD:
        with transaction.atomic():
            before = AuditEntry.objects.count()
            answer = client.generic(method, where, body, content_type=kind)  # type: ignore[arg-type]
            recorded = AuditEntry.objects.count() - before
            transaction.set_rollback(True)
        assert answer.status_code < 500, (kind, body, answer.content)
        deed = answer.status_code < 400 and name not in NO_DEEDS
        assert recorded == deed, (kind, body, answer.status_code)


def test_signing_in_and_out_is_recorded_by_whatever_door():
    ann = User.objects.create_user("ann", password="correct horse battery")
    client = Client()
    form = {"username": "ann", "password": "wrong"}
    client.post(reverse("access:sign-in"), form)
    assert not AuditEntry.objects.exists()
    client.post(reverse("access:sign-in"), {**form, "password": "correct horse battery"})
    entry(action="sign in", actor_name="ann", address="127.0.0.1")
    client.post(reverse("access:sign-out"))
    entry(action="sign out", actor_name="ann")
    client.post(reverse("access:link", args=[make_sign_in_link(ann)]))
    assert AuditEntry.objects.filter(action="sign in").count() == 2
    assert AuditEntry.objects.count() == 3


def test_the_log_outlives_its_people_and_is_read_in_the_admin(admin_client, admin_user):
    ann = User.objects.create_user("ann")
    AuditEntry.objects.create(actor=ann, actor_name="ann", via="page", action="a deed")
    ann.delete()
    found, _ = entry(action="a deed", actor_name="ann")
    assert found.actor is None
    where = reverse("admin:audit_auditentry_changelist")
    assert "a deed" in admin_client.get(where).text
    assert admin_client.get(reverse("admin:audit_auditentry_add")).status_code == 403
    assert admin_client.post(reverse("admin:audit_auditentry_delete", args=[found.pk])).status_code == 403


def test_what_never_changes_is_sent_once(admin_client):
    first = admin_client.get("/api/v1/schema/")
    again = admin_client.get("/api/v1/schema/", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
