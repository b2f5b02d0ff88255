"""Trees from a shell: each verb calls its service, and what is refused is told with exit status 2."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client

from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Checkpoint, Experiment
from accsite.apps.training.selectors.jobs import find_branch, find_experiment
from accsite.apps.training.tests import rows


def ask(*words: str) -> tuple[int, str, str]:
    out, err, status = StringIO(), StringIO(), 0
    try:
        call_command(*words, stdout=out, stderr=err)
    except SystemExit as end:
        status = int(end.code or 0)
    return status, out.getvalue(), err.getvalue()


def test_a_fork_is_made_and_a_wrong_one_refused(branch: Branch) -> None:
    node = rows.make_checkpoint(branch, tag="best")
    status, out, _ = ask("fork", "best", "side", "--tasks", "none", "--json")
    assert status == 0
    made = Branch.objects.get(pk=json.loads(out)["branch"])
    assert (made.name, made.head) == ("side", node)
    assert ask("fork", "best", "side")[0] == 2
    status, _, err = ask("fork", "nothing", "x")
    assert status == 2
    assert "'nothing' is neither the id nor the tag" in err


def test_a_slug_is_meant_before_the_name_of_another(branch: Branch) -> None:
    Experiment.objects.filter(pk=branch.experiment_id).update(name="β-VAE", slug="vae")
    other = rows.make_branch(branch.experiment.owner, "other").experiment
    Experiment.objects.filter(pk=other.pk).update(name="vae", slug="vae-2")
    Branch.objects.filter(pk=branch.pk).update(name="b", slug="b-2")
    Branch.objects.create(experiment=branch.experiment, name="β", slug="b")
    for experiment, slug in (("vae", "vae"), ("vae-2", "vae-2"), ("β-VAE", "vae")):
        assert find_experiment(None, experiment).slug == slug
        assert [
            json.loads(line)["experiment"]
            for line in ask("prune", experiment, "--dry-run", "--json")[1].splitlines()
        ] == [slug]
    assert [find_branch(None, "vae", name).slug for name in ("b", "b-2", "β")] == ["b", "b-2", "b"]


def test_experiments_are_listed_with_what_has_grown_from_them(branch: Branch) -> None:
    node = rows.make_checkpoint(branch)
    Branch.objects.create(experiment=branch.experiment, name="side", slug="side")
    rows.make_checkpoint(branch, parent=node)
    listed = ask("experiments", "list")[1].splitlines()
    assert listed[1].split("\t")[-2:] == ["2", "2"]
    assert ask("checkpoints", "delete", str(node.pk), "--subtree")[0] == 0
    assert ask("experiments", "list")[1].splitlines()[1].split("\t")[-2:] == ["2", "0"]


def test_checkpoints_are_listed_marked_loaded_deleted_and_restored(branch: Branch) -> None:
    root = rows.make_checkpoint(branch, losses={"total": 0.5})
    leaf = rows.make_checkpoint(branch, parent=root)
    assert ask("checkpoints", "load", str(root.pk), "main")[0] == 0
    branch.refresh_from_db()
    assert branch.head == root
    assert ask("checkpoints", "tag", str(leaf.pk), "good")[0] == 0
    status, _, err = ask("checkpoints", "delete", "good")
    assert (status, "is tagged 'good'" in err) == (2, True)
    assert ask("checkpoints", "tag", "good", "")[0] == 0
    deletion = json.loads(ask("checkpoints", "delete", str(leaf.pk), "--json")[1])["deletion"]
    assert [
        json.loads(line)["id"] for line in ask("checkpoints", "list", "digits", "--json")[1].splitlines()
    ] == [root.pk]
    assert ask("checkpoints", "restore", "digits", deletion)[0] == 0
    assert Checkpoint.objects.count() == 2
    assert f"sha256       {root.sha256}" in ask("checkpoints", "show", str(root.pk))[1]


def test_pruning_says_what_would_go_before_it_goes(branch: Branch) -> None:
    root = rows.make_checkpoint(branch)
    leaf = rows.make_checkpoint(branch, parent=root, file="leaf", size_bytes=123)
    Branch.objects.filter(pk=branch.pk).update(head=root)
    words = ("prune", "digits", "--last", "0", "--best", "0")
    status, out, _ = ask(*words, "--dry-run")
    assert status == 0
    assert f"would be deleted: {leaf.pk}" in out
    assert "123 bytes" in out
    assert Checkpoint.objects.count() == 2
    assert "undo: manage.py checkpoints restore digits" in ask(*words)[1]
    assert list(Checkpoint.objects.all()) == [root]
    assert ask("prune", "nowhere")[0] == 2


def test_who_may_only_look_prunes_nothing(branch: Branch, django_user_model: Any) -> None:
    root = rows.make_checkpoint(branch)
    leaf = rows.make_checkpoint(branch, parent=root, file="leaf", size_bytes=123)
    Branch.objects.filter(pk=branch.pk).update(head=root)
    django_user_model.objects.create_user("guest").groups.add(Group.objects.get(name="viewer"))
    words = ("--last", "0", "--best", "0", "--user", "guest")
    status, _, err = ask("prune", "digits", *words)
    assert (status, "lets you look but not change" in err) == (1, True)
    status, out, _ = ask("prune", *words)  # all that they may change: none
    assert (status, "digits" in out) == (0, False)
    assert f"would be deleted: {leaf.pk}" in ask("prune", "digits", *words, "--dry-run")[1]
    assert Checkpoint.objects.count() == 2


def test_an_expansion_is_queued(branch: Branch) -> None:
    node = rows.make_checkpoint(branch)
    words = ("expand", str(node.pk), "--where", "latent", "--amount", "4")
    assert ask(*words)[0] == 2  # it is not the head of its branch
    assert ask(*words, "--branch", "wider")[0] == 0
    assert Job.objects.get().spec["expansion"]["amount"] == 4


def test_what_is_no_export_is_refused_and_makes_nothing(
    branch: Branch, tmp_path: Path, client: Client, user: Any
) -> None:
    path = tmp_path / "x.acc.zip"
    path.write_bytes(b"PK\x03\x04 and nothing more")
    status, _, err = ask("import", str(path))
    assert status == 2
    assert "'x.acc.zip' is no intact zip file" in err
    client.force_login(user)
    answer = client.post("/api/v1/checkpoints/import/", {"file": SimpleUploadedFile("../x.zip", b"no zip")})
    assert answer.status_code == 422
    assert "no intact zip file" in answer.json()["detail"]
    assert list(Experiment.objects.all()) == [branch.experiment]


def test_a_branch_is_renamed_loaded_and_pruned_from_the_api(
    branch: Branch, client: Client, user: Any
) -> None:
    node = rows.make_checkpoint(branch)
    client.force_login(user)
    kind: Any = {"content_type": "application/json"}
    told = client.patch(f"/api/v1/branches/{branch.pk}/", {"name": "Trunk"}, **kind).json()
    assert (told["name"], told["slug"]) == ("Trunk", "trunk")
    loaded = client.post(f"/api/v1/branches/{branch.pk}/load/", {"checkpoint": node.pk}, **kind)
    assert loaded.json()["head"] == node.pk
    marked = client.patch(f"/api/v1/checkpoints/{node.pk}/", {"starred": True, "note": "n"}, **kind).json()
    assert (marked["starred"], marked["note"]) == (True, "n")
    url = "/api/v1/experiments/digits/"
    wrong = client.patch(url, {"retention": {"last": -1}}, **kind)
    assert list(wrong.json()["errors"]) == ["retention.last"]
    assert client.patch(url, {"retention": {"last": 0}}, **kind).json()["retention"]["last"] == 0
    plan = client.post(f"{url}prune/", {"dry_run": True}, **kind).json()
    assert (plan["kept"], plan["leaves"]) == ({str(node.pk): "is starred"}, [])
