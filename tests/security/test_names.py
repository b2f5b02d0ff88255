"""Names are shown as they were typed and never run; paths lead nowhere but to what was stored."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.registry.models import PluginSource
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db

SCRIPT = """"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"""
PATHS = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/secret_key",
    "/etc/passwd",
    "..\\..\\x",
    "a%00b",
]


def assert_harmless(text: str) -> None:
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "alert(1)>49" not in text.replace("&gt;", ">")  # a template within a name


def named() -> dict[str, Any]:
    """Return rows whose every name is a script."""
    from django.contrib.auth.models import User

    user = User.objects.create_user("ada", first_name=SCRIPT[:30], last_name=SCRIPT[30:])
    rows.make_plugins()
    branch = rows.make_branch(user, "x")
    branch.name = branch.experiment.name = SCRIPT
    branch.save()
    branch.experiment.save()
    dataset = rows.make_dataset(name=SCRIPT, provenance={SCRIPT: SCRIPT})
    rows.make_task(branch, dataset, name=SCRIPT)
    job = rows.make_job(branch, title=SCRIPT, message=SCRIPT, traceback=SCRIPT, state="FAILED")
    rows.make_job(branch, title=SCRIPT)
    checkpoint = rows.make_checkpoint(branch, job, tag=SCRIPT[:80], note=SCRIPT)
    source = PluginSource.objects.first()
    assert source is not None
    run = RecipeRun.objects.create(
        recipe="Autoencoder", label=SCRIPT, source=source, job=job, params={SCRIPT: SCRIPT}, result=SCRIPT
    )
    RecipeStep.objects.create(
        run=run, path="1", verb="train", phase=SCRIPT[:120], message=SCRIPT, branch=branch
    )
    rows.make_worker("<script>alert(1)</script>")
    return {"user": user, "branch": branch, "job": job, "checkpoint": checkpoint, "run": run, "data": dataset}


def test_no_page_runs_a_name():
    world = named()
    client = Client()
    client.force_login(world["user"])
    pages = [
        reverse("training:workbench", args=["x", "main"]),
        reverse("training:job", args=[world["job"].pk]),
        reverse("trees:experiment-sharing", args=["x"]),
        reverse("evaluation:branch", args=[world["branch"].pk]),
        reverse("trees:checkpoint", args=[world["checkpoint"].pk]),
        reverse("recipes:recipe-run", args=[world["run"].pk]),
        reverse("trees:experiment", args=["x"]) + f"?node={world['checkpoint'].pk}",
        *(
            reverse(name)
            for name in (
                "training:jobs",
                "trees:experiments",
                "jobs:devices",
                "recipes:recipes",
                "datasets:list",
                "datasets:compare",
                "datasets:dataset-new",
                "datasets:dataset-import",
                "trees:experiment-new",
                "evaluation:home",
                "registry:plugins",
                "access:profile",
            )
        ),
        reverse("trees:experiment", args=["x"]),
    ]
    shown = 0
    for page in pages:
        answer = client.get(page)
        assert answer.status_code == 200, page
        assert_harmless(answer.text)
        assert "default-src 'self'" in answer["Content-Security-Policy"]
        shown += "&lt;script&gt;" in answer.text
    assert shown >= 6  # they are there, as text


def test_the_admin_runs_no_name_either(admin_client):
    world = named()
    for kind, row in (
        ("jobs/job", world["job"]),
        ("training/branch", world["branch"]),
        ("training/checkpoint", world["checkpoint"]),
        ("recipes/reciperun", world["run"]),
        ("datasets/dataset", world["data"]),
    ):
        for page in (f"/admin/{kind}/", f"/admin/{kind}/{row.pk}/change/"):
            answer = admin_client.get(page)
            assert answer.status_code == 200, page
            assert_harmless(answer.text)
            assert "&lt;script&gt;" in answer.text, page


@pytest.mark.parametrize(
    "where",
    [
        "/experiments/new/",
        "/experiments/new/import/",
        "/experiments/new/model/",
        "/datasets/new/",
        "/datasets/import/",
        "/datasets/new/preview/",
        "/profile/tokens/",
        "/admin/jobs/job/",
        "/api/v1/experiments/",
        "/api/v1/tokens/",
    ],
)
def test_a_form_of_another_site_is_refused(admin_user, where):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(where, {"name": "x"}, headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_problem_that_repeats_a_name_is_json_and_sniffed_as_nothing_else(admin_client):
    rows.make_plugins()
    answer = admin_client.post(
        "/api/v1/experiments/",
        {"name": SCRIPT + "\u0000", "model": rows.MODEL},
        content_type="application/json",
    )
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "where",
    [
        "/static/{}",
        "/api/v1/datasets/{}/",
        "/api/v1/plugin-files/{}/",
        "/api/v1/experiments/{}/",
        "/api/v1/generators/previews/{}.png",
        "/datasets/{}/",
        "/experiments/{}/",
        "/checkpoints/{}/",
        "/evaluate/artifacts/{}/",
        "/recipes/run/{}/",
        "/w/{}/main/",
        "/w/digits/main/panel/{}/",
        "/datasets/compare/{}/",
    ],
)
def test_a_path_leads_nowhere(admin_client, path, where):
    answer = admin_client.get(where.format(path))
    assert answer.status_code in {400, 404}
    assert b"root:" not in (b"" if answer.streaming else answer.content)


def test_a_file_name_of_an_upload_is_only_a_name(admin_user):
    from django.core.files.uploadedfile import SimpleUploadedFile

    client = APIClient()
    client.force_authenticate(admin_user)
    upload = SimpleUploadedFile("../../../../tmp/evil.py", b"import os", "text/x-python")
    answer = client.post("/api/v1/datasets/import/", {"file": upload, "name": "../../x"}, format="multipart")
    assert answer.status_code in {202, 422}
    assert "/tmp/evil" not in answer.content.decode()
