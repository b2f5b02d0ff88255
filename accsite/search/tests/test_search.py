"""Whatever has a name is found by a few letters of it, the best first, and nobody finds what they may not see."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accsite import search
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.models import Branch, Checkpoint, Visibility
from accsite.apps.training.tests import rows
from accsite.search import EXACT, Query
from accsite.tests.modules import evaluate

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def branch(ada: User) -> Branch:
    rows.make_plugins()
    rows.make_plugin(PluginKind.RECIPE, "Quickstart")
    branch = rows.make_branch(ada)
    rows.make_task(branch, rows.make_dataset())
    return branch


def found(user: Any, asked: str, **how: Any) -> dict[str, list[str]]:
    """Return kind -> names of what is found."""
    return {group.kind: [each.name for each in group.found] for group in search.search(user, asked, **how)}


def test_a_thing_is_found_by_letters_of_its_name_in_their_order(ada: User, branch: Branch) -> None:
    for asked in ("digits", "DIG", "dgt", "gts"):
        assert found(ada, asked)["experiment"] == ["digits"]
    assert "experiment" not in found(ada, "stgid")


def test_each_kind_of_thing_is_found(ada: User, branch: Branch) -> None:
    job = rows.make_job(branch, title="Train zebra")
    rows.make_checkpoint(branch, job, tag="zebra-best")
    assert found(ada, "zebra") == {
        "checkpoint": [f"zebra-best · checkpoint {Checkpoint.objects.get().pk}"],
        "job": [f"Job {job.pk}: Train zebra"],
    }
    assert found(ada, "handwr")["dataset"] == ["Handwritten digits"]
    assert found(ada, "quickst")["recipe"] == ["Quickstart"]
    assert found(ada, "reconstr")["task"]
    assert found(ada, "autoenc")["plugin"]
    assert found(ada, "main")["branch"] == ["main"]
    assert found(ada, "devices")["page"] == ["Devices"]


def test_a_factor_leads_to_what_was_measured_of_it_else_to_its_checkpoints(ada: User, branch: Branch) -> None:
    (group,) = search.search(ada, "free", kind="factor")
    (factor,) = group.found
    assert (factor.name, factor.about) == ("free", "factor of digits, not measured yet")
    assert factor.url == "/experiments/digits/"
    old, new = (rows.make_checkpoint(branch, step=step) for step in (10, 20))
    for node in (new, old):
        Evaluation.objects.create(checkpoint=node, branch=branch, step=node.step)
    (group,) = search.search(ada, "free digits", kind="factor")
    assert [(each.name, each.url) for each in group.found] == [("free", f"/evaluate/{new.pk}/ufr/")]
    assert "factor" not in found(ada, "digits main"), "by its own name, not by that of its experiment alone"
    assert found(ada, "factors dig")["factor"] == ["digit"]
    rows.make_plugin(PluginKind.RECIPE, "FactorExperiment", label="Factor experiment")
    assert found(ada, "factor exp")["recipe"] == ["Factor experiment"]
    mine = rows.make_branch(ada, "zebra", visibility=Visibility.PRIVATE)
    mine.experiment.model_spec["factor_groups"][0]["name"] = "mane"
    mine.experiment.save()
    assert found(ada, "mane")["factor"] == ["mane"]
    assert found(User.objects.create_user("bob"), "mane") == {}


def test_of_pages_that_fit_alike_the_first_in_the_alphabet_is_first(ada: User) -> None:
    assert found(ada, "compare")["page"][:2] == ["Compare checkpoints", "Compare datasets"]


def test_a_number_is_that_of_a_job_and_of_a_checkpoint_and_a_kind_before_it_chooses(
    ada: User, branch: Branch
) -> None:
    job = rows.make_job(branch, title="Train it", preview=True)
    node = rows.make_checkpoint(branch, job)
    for asked in (f"{job.pk}", f"#{job.pk}"):
        assert f"Job {job.pk}: Train it" in found(ada, asked)["job"]
    assert list(found(ada, f"job {job.pk}")) == ["job"]
    assert found(ada, f"checkpoint {node.pk}") == {"checkpoint": [f"Step 10 · checkpoint {node.pk}"]}
    assert list(found(ada, "datasets")) == ["dataset"]


def test_the_kind_of_the_best_comes_first_and_the_best_before_the_newest(ada: User, branch: Branch) -> None:
    rows.make_job(branch, title="Train mainland")
    rows.make_branch(ada, "domain-of-mine")
    groups = search.search(ada, "main")
    assert groups[0].kind == "branch"
    assert groups[0].found[0].rank == EXACT
    ranks = [group.best for group in groups]
    assert ranks == sorted(ranks)
    assert found(ada, "main")["experiment"] == ["domain-of-mine"]


def test_nobody_finds_what_they_may_not_see(ada: User, branch: Branch) -> None:
    mine = rows.make_branch(ada, "zebra", visibility=Visibility.PRIVATE)
    job = rows.make_job(mine, title="Train zebra")
    rows.make_checkpoint(mine, job, tag="zebra")
    rows.make_task(mine, rows.make_dataset("other"), name="zebra")
    other = User.objects.create_user("bob")
    assert set(found(ada, "zebra")) == {"experiment", "branch", "checkpoint", "job", "task"}
    assert found(other, "zebra") == {}
    assert found(other, str(job.pk)).get("job", []) == []
    assert found(None, "zebra")["experiment"] == ["zebra"]


def test_signs_of_the_database_are_letters_like_others(ada: User, branch: Branch) -> None:
    rows.make_job(branch, title="Train 100 %")
    assert found(ada, "100 %")["job"]
    for asked in ("%%", "__", "\\\\", "'", "☃" * 300, "#", "/", "99999999999999999999"):
        assert found(ada, asked) == {}


def test_a_kind_that_nothing_finds_yet_shows_nothing(ada: User, branch: Branch) -> None:
    assert {"run", "study"} <= set(search.HEADINGS)
    assert found(ada, "study digits") == {}
    with pytest.raises(ValueError, match="has no heading"):
        search.register("unheard", lambda *_: [])


def test_more_of_one_kind_is_asked_for_by_itself(ada: User, branch: Branch) -> None:
    for number in range(9):
        rows.make_job(branch, title=f"Train zebra {number}")
    (group,) = search.search(ada, "zebra")
    assert (len(group.found), group.more) == (search.SHOWN, True)
    (group,) = search.search(ada, "zebra", kind="job", limit=50)
    assert (len(group.found), group.more) == (9, False)


def test_a_query_is_read_as_people_write_it() -> None:
    assert Query.of("  Digits /  MAIN ").terms == ("digits", "main")
    assert (Query.of("job #58").kind, Query.of("job #58").number) == ("job", 58)
    assert Query.of("#58 x").number is None
    assert Query.of("").terms == ()


def test_it_takes_few_queries_and_little_time_among_ten_thousand_rows(ada: User, branch: Branch) -> None:
    job = rows.make_job(branch)
    like = rows.make_checkpoint(branch, job)
    fields = {
        field.name: getattr(like, field.name)
        for field in Checkpoint._meta.concrete_fields
        if field.name not in {"id", "tag"}
    }
    Checkpoint.objects.bulk_create(
        [Checkpoint(**fields, tag=f"best-of-{number}") for number in range(10_000)], batch_size=500
    )
    took = []
    for asked in ("best 77", "bst", "9999", "digits", "nothing at all", "checkpoint"):
        with CaptureQueriesContext(
            connection,
        ) as asked_for:
            began = time.process_time()
            search.search(ada, asked)
            took.append(time.process_time() - began)
        assert len(asked_for) <= 12, [each["sql"][:120] for each in asked_for]
    assert max(took) < 0.5, took


def test_the_page_and_the_api_find_the_same(ada: User, branch: Branch) -> None:
    client = Client()
    client.force_login(ada)
    text = client.get("/search/?q=dgt").content.decode()
    answer = client.get("/api/v1/search/?q=dgt").json()
    found = [each for group in answer["groups"] for each in group["found"]]
    assert found
    assert all(each["url"] in text and each["name"] in text for each in found)
    assert "Nothing that you may see" in client.get("/search/?q=qqqq").content.decode()
    assert "Workbench" in client.get("/search/").content.decode()
    assert "called “&lt;i&gt;”" in client.get("/search/?q=<i>").content.decode()


def test_the_api_refuses_what_it_does_not_have(ada: User) -> None:
    client = Client()
    client.force_login(ada)
    for asked in ("kind=animal", "limit=0", "limit=x", "q=" + "x" * 201, "what=1"):
        assert client.get(f"/api/v1/search/?{asked}").status_code == 422
    assert Client().get("/api/v1/search/?q=x").status_code == 401


def test_a_shell_finds_it_too(ada: User, branch: Branch) -> None:
    out = io.StringIO()
    call_command("find", "digits", "--kind", "experiment", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {
        "kind": "experiment", "name": "digits", "about": "experiment", "url": "/experiments/digits/",
    }  # fmt: skip


@pytest.mark.one_database
def test_the_palette_ranks_as_the_server_does() -> None:
    pairs = [
        ("digits", "digits"), ("dig", "digits"), ("its", "digits"), ("dgt", "digits"), ("stgid", "digits"),
        ("digits main", "main of digits"), ("g", "digits"), ("x", "digits"), ("dgt main", "digits main"),
    ]  # fmt: skip
    theirs = evaluate(
        "const { howWell } = await load('palette_match'); return args[0].map(([a, n]) => howWell(a, n));",
        pairs,
    )
    assert theirs == [search.how_well(Query.of(asked), name) for asked, name in pairs]
