"""API tokens: scoped, expiring, revocable, known by their hash alone; and what sessions must send besides."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from accsite.apps.access.models import ApiToken
from accsite.apps.access.selectors import TOKEN, live_credentials
from accsite.apps.access.tokens import make_token
from accsite.apps.audit.models import AuditEntry
from accsite.apps.training.models import Experiment
from tests.security.world import SECRET

pytestmark = pytest.mark.django_db
SHARING = f"/api/v1/experiments/{SECRET}/sharing/"


def api(token: str) -> APIClient:
    return APIClient(headers={"Authorization": f"Token {token}"})


def test_a_token_that_only_reads_changes_nothing(world):
    _, token = make_token(user=world.users["owner"], name="notebook", scope="read")
    assert api(token).get(SHARING).status_code == 200
    for url in (SHARING, f"/api/v1/workers/{world.things['worker'].pk}/drain/"):
        refused = api(token).generic("PATCH" if url == SHARING else "POST", url, "{}")
        assert refused.status_code == 403
        assert "'notebook' may only read" in refused.json()["detail"]


def test_a_token_that_writes_needs_no_csrf_token_and_is_audited_with_its_user(world):
    _, token = make_token(user=world.users["owner"], name="ci", scope="write")
    client = APIClient(enforce_csrf_checks=True, headers={"Authorization": f"Token {token}"})
    done = client.patch(SHARING, {"shares": {"stranger": "view", "reader": None}}, format="json")
    assert done.json()["shares"] == {"editor": "change", "operator": "view", "stranger": "view"}
    assert Experiment.objects.visible_to(world.users["stranger"]).filter(slug=SECRET).exists()
    entry = AuditEntry.objects.get(action="experiment sharing")
    assert (entry.actor_name, entry.via) == ("owner", "api")
    assert f"experiment:{world.branch.experiment_id}" in {about.name for about in entry.about.all()}
    page = Client()
    page.force_login(world.users["editor"])
    assert "experiment sharing" in page.get(reverse("trees:experiment-sharing", args=[SECRET])).text


def test_a_session_needs_a_csrf_token_in_api_and_pages(world):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(world.users["owner"])
    assert client.patch(SHARING, {}, format="json").status_code == 403
    page = Client(enforce_csrf_checks=True)
    page.force_login(world.users["owner"])
    assert page.post(reverse("trees:experiment-sharing", args=[SECRET])).status_code == 403


@pytest.mark.parametrize("token", ["", "acc_wrong", "acc_" + "0" * 64, "a b", "\u2603"])
def test_what_is_no_token_is_refused(world, token):
    answer = APIClient().get(
        "/api/v1/experiments/", HTTP_AUTHORIZATION=f"Token {token}".encode().decode("latin1")
    )
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Token"


def test_a_token_ends_by_time_revocation_and_with_its_user(world):
    owner = world.users["owner"]
    old, first = make_token(user=owner, name="old")
    ApiToken.objects.filter(pk=old.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    assert api(first).get(SHARING).status_code == 401
    row, token = make_token(user=owner, name="new")
    assert token not in str(list(ApiToken.objects.values()))
    credential = TOKEN + row.digest
    assert live_credentials([credential, None]) == {credential: owner.pk}
    client = Client()
    client.force_login(world.users["stranger"])
    revoke = reverse("access:token-revoke", args=[row.id])
    assert client.post(revoke).status_code == 404
    client.force_login(owner)
    assert client.post(revoke).status_code == 302
    assert api(token).get(SHARING).status_code == 401
    assert live_credentials([credential]) == {}
    _, last = make_token(user=owner, name="last")
    owner.is_active = False
    owner.save()
    assert api(last).get(SHARING).status_code == 401


def test_the_profile_page_shows_a_new_token_once(world):
    client = Client()
    client.force_login(world.users["viewer"])
    page = client.post(reverse("access:token-make"), {"name": "laptop", "scope": "write", "days": "7"})
    token = page.context["token"]
    assert token in page.text
    assert "no-store" in page["Cache-Control"]
    assert token not in client.get(reverse("access:profile")).text
    assert api(token).get("/api/v1/").status_code == 200
    assert api(token).post("/api/v1/experiments/", {}).status_code == 403  # its user is a viewer
    wrong = client.post(reverse("access:token-make"), {"name": "", "scope": "all", "days": "0"})
    assert wrong.status_code == 422
    assert "is not one of read, write" in wrong.text


def test_tokens_are_made_listed_and_revoked_from_a_shell(world):
    out = StringIO()
    call_command("tokens", "make", "owner", "--name", "cron", "--scope", "write", stdout=out)
    assert api(out.getvalue().strip()).get(SHARING).status_code == 200
    row = ApiToken.objects.get(name="cron")
    call_command("tokens", "list", "owner", "--json", stdout=out)
    assert str(row.id) in out.getvalue()
    call_command("tokens", "revoke", str(row.id))
    assert not ApiToken.objects.filter(name="cron").exists()
    err = StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("tokens", "revoke", "x", stderr=err)
    assert end.value.code == 2
    assert "error: id: there is no token 'x'" in err.getvalue()


def test_writes_are_limited_and_reads_are_not(world, monkeypatch):
    from accsite.api.throttling import WriteThrottle

    cache.clear()
    monkeypatch.setattr(WriteThrottle, "THROTTLE_RATES", {"writes": "2/min"})
    client = APIClient()
    client.force_authenticate(world.users["reader"])
    codes = [client.post("/api/v1/experiments/", {}, format="json").status_code for _ in range(3)]
    assert codes == [422, 422, 429]
    assert client.get("/api/v1/experiments/").status_code == 200


def test_the_audit_log_is_only_added_to(world):
    entry = AuditEntry.objects.create(via="page", action="x")
    for change in (entry.save, entry.delete, AuditEntry.objects.all().delete):
        with pytest.raises(TypeError, match="only added to"):
            change()
    with pytest.raises(TypeError, match="only added to"):
        AuditEntry.objects.update(action="y")
