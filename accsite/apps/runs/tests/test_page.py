"""The page of runs, its curves, its forms, the API and the command all tell the same, without a script."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from accsite.apps.runs.models import SavedView
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db


def whole(answer) -> bytes:
    return b"".join(answer.streaming_content)


def test_the_page_shows_sorts_filters_groups_and_turns_by_its_address(page, make_run):
    for seed in range(55):
        make_run(lr=0.001 if seed % 2 else 0.002, seed=seed, ufr=seed / 100)
    text = page.get("/runs/").content.decode()
    assert "1 to 50 of 55" in text
    assert "page=2" in text
    assert "51 to 55 of 55" in page.get("/runs/?page=2").content.decode()
    text = page.get("/runs/?filter=ufr+%3C+.02&sort=-ufr&c=ufr&c=train/seed").content.decode()
    assert re.findall(r"<td class=num>([^<]*)</td>", text) == ["0.01", "1", "0", "0"]
    assert "1 to 2 of 2" in text
    text = page.get("/runs/?group=lr&c=ufr").content.decode()
    assert "1 to 2 of 2 groups, 55 runs" in " ".join(text.split())
    assert "±" in text
    text = page.get("/runs/?group=lr&c=ufr&c=state&c=lr").content.decode()
    chosen = re.findall(r'name="c"\s+value="([^"]+)"\s+checked', text)
    assert chosen == ["metric/ufr on digits", "state", "train/lr"]
    assert "No run is so" in page.get("/runs/?filter=ufr+%3E+2").content.decode()


def test_buttons_of_the_table_lead_to_the_address_that_comes_of_them(page, make_run):
    a, b = make_run(ufr=0.5).pk, make_run(ufr=0.6).pk

    def leads_to(address):
        return page.get(address)["Location"]

    assert leads_to("/runs/?c=ufr&by=metric/ufr+on+digits") == "/runs/?sort=metric%2Fufr+on+digits&c=ufr"
    assert leads_to("/runs/?sort=lr&by=lr") == "/runs/?sort=-lr"
    assert leads_to("/runs/?sort=-lr&by=lr") == "/runs/"
    assert leads_to(f"/runs/?turn={a}&eye={b}") == f"/runs/?eye={b}&eye={a}"
    assert leads_to(f"/runs/?turn={a}&eye={a}") == "/runs/"
    assert leads_to(f"/runs/?eyes={a}&eyes={b}&sort=lr") == f"/runs/?sort=lr&eye={a}&eye={b}"
    assert leads_to(f"/runs/?eyes=none&eye={a}") == "/runs/"
    assert leads_to("/runs/?c=state&c=train/seed&later=state") == "/runs/?c=train%2Fseed&c=state"
    assert leads_to("/runs/?c=state&c=train/seed&earlier=train/seed") == "/runs/?c=train%2Fseed&c=state"
    partial = page.get(f"/runs/?turn={a}", headers={"HX-Request": "true"}).content.decode()
    assert f'data-address="/runs/?eye={a}"' in partial


def test_a_filter_that_is_wrong_is_told_and_nothing_is_shown(page, make_run):
    make_run(ufr=0.5)
    answer = page.get("/runs/?filter=ufr+%3E")
    assert answer.status_code == 422
    text = answer.content.decode()
    assert "a value behind ufr &gt; is missing, at character 6" in text
    assert 'name="run"' not in text


def test_without_a_run_the_page_says_how_to_get_one(page):
    assert "No run yet" in page.get("/runs/").content.decode()


def test_curves_are_told_of_visible_runs_alone(page, make_run, django_user_model):
    other = django_user_model.objects.create_user("bob")
    hidden = make_run(rows.make_branch(other, "zebra", visibility="private"), losses=[1.0])
    a, b = make_run(losses=[1.0, 2.0]), make_run(losses=[3.0, 4.0])
    found = page.get(f"/runs/curves/?eye={a.pk}&eye={hidden.pk}").json()
    assert [(line["key"], line["mean"]) for line in found["lines"]] == [(str(a.pk), [1, 2])]
    found = page.get("/runs/curves/?group=branch&eye=digits/main&eye=zebra/main&curve=raw/digit").json()
    assert [(line["key"], line["n"], line["mean"]) for line in found["lines"]] == [("digits/main", 2, [4, 6])]
    assert found["lines"][0]["low"][0] < 4 < found["lines"][0]["high"][0]
    assert "zebra" not in page.get(f"/runs/?eye={hidden.pk}").content.decode()
    assert b.pk


def test_an_action_is_done_to_each_chosen_run_and_what_cannot_be_done_is_told(page, branch, make_run):
    waiting, ended = make_run(state="QUEUED"), make_run()
    answer = page.post("/runs/do/", {"run": [waiting.pk, ended.pk], "do": "stop"}, follow=True)
    told = [str(message) for message in answer.context["messages"]]
    assert told[0].startswith(f"Run {ended.pk}: ")
    assert told[1] == f"Stop: asked of run {waiting.pk}."
    waiting.refresh_from_db()
    assert waiting.state == "CANCELLED"
    assert waiting.run.state == "CANCELLED"
    answer = page.post("/runs/do/", {"do": "stop"}, follow=True)
    assert "No run is chosen" in str(next(iter(answer.context["messages"])))
    assert page.post("/runs/do/", {"do": "requeue", "run": [ended.pk]}).status_code == 302


def test_chosen_runs_are_compared_by_their_newest_checkpoints(page, branch, make_run):
    jobs = [make_run(ufr=0.5), make_run(ufr=0.6)]
    nodes = [job.checkpoints.get().pk for job in jobs]
    answer = page.post("/runs/do/", {"run": [job.pk for job in jobs], "do": "compare"})
    assert answer["Location"] == f"/compare/?pick={nodes[0]}&pick={nodes[1]}"


def test_a_view_is_saved_listed_and_deleted_by_its_owner_alone(page, make_run, django_user_model):
    make_run(ufr=0.5)
    page.post("/runs/views/", {"name": "best", "filter": "ufr > .1", "sort": "-ufr", "eye": "1", "page": "2"})
    view = SavedView.objects.get()
    assert view.query == "filter=ufr+%3E+.1&sort=-ufr"
    assert "/runs/?filter=ufr+%3E+.1&amp;sort=-ufr" in page.get("/runs/").content.decode()
    other = Client()
    other.force_login(django_user_model.objects.create_user("bob"))
    assert other.post(f"/runs/views/{view.pk}/delete/").status_code == 404
    assert page.post(f"/runs/views/{view.pk}/delete/").status_code == 302
    assert not SavedView.objects.exists()


def test_the_api_lists_runs_columns_groups_and_files(user, make_run):
    a, b = make_run(lr=0.001, ufr=0.5), make_run(lr=0.002, ufr=0.7)
    client = APIClient()
    client.force_authenticate(user)
    found = client.get("/api/v1/runs/", {"sort": "-ufr", "columns": "lr,ufr", "filter": "ufr > .1"}).json()
    assert (found["count"], found["columns"]) == (2, ["train/lr", "metric/ufr on digits"])
    assert [(run["id"], run["values"]) for run in found["results"]] == [
        (b.pk, {"train/lr": 0.002, "metric/ufr on digits": 0.7}),
        (a.pk, {"train/lr": 0.001, "metric/ufr on digits": 0.5}),
    ]
    columns = client.get("/api/v1/runs/columns/").json()["columns"]
    assert {"name": "train/lr", "kind": "number", "family": "train"} in columns
    groups = client.get("/api/v1/runs/groups/", {"by": "branch", "columns": "ufr"}).json()["groups"]
    assert [
        (group["key"], group["n"], group["means"]["metric/ufr on digits"]["mean"]) for group in groups
    ] == [("digits/main", 2, pytest.approx(0.6))]
    assert client.get("/api/v1/runs/", {"filter": "zebra = 1"}).status_code == 422
    assert client.get("/api/v1/runs/groups/").status_code == 422
    text = whole(client.get("/api/v1/runs/export/", {"columns": "lr,ufr", "sort": "ufr"}))
    assert list(csv.reader(io.StringIO(text.decode()))) == [
        ["run", "experiment", "branch", "train/lr", "metric/ufr on digits"],
        [str(a.pk), "digits", "main", "0.001", "0.5"],
        [str(b.pk), "digits", "main", "0.002", "0.7"],
    ]
    parquet = pytest.importorskip("pyarrow.parquet")
    answer = client.get("/api/v1/runs/export/", {"form": "parquet", "columns": "created,ufr,optimizer"})
    table = parquet.read_table(io.BytesIO(whole(answer)))
    assert table.column("metric/ufr on digits").to_pylist() == [0.7, 0.5]
    assert table.column("created").to_pylist()[1] == a.created_at
    assert client.get("/api/v1/runs/export/", {"form": "exe"}).status_code == 422


def test_the_command_prints_rows_groups_and_files(make_run, tmp_path, capsys):
    a, b = make_run(lr=0.001, ufr=0.5), make_run(lr=0.002, ufr=0.7)
    call_command("runs", "--columns", "lr,ufr", "--sort=-ufr")
    assert capsys.readouterr().out.splitlines() == [
        "run\tbranch\tlr\tufr",
        f"{b.pk}\tdigits/main\t0.002\t0.7",
        f"{a.pk}\tdigits/main\t0.001\t0.5",
    ]
    call_command("runs", "--group", "branch", "--columns", "ufr")
    assert capsys.readouterr().out.splitlines()[1] == "digits/main\t2\t0.6 ± 1.27"
    call_command("runs", "--filter", "ufr > .6", "--json", "--columns", "ufr")
    assert json.loads(capsys.readouterr().out)["values"] == {"metric/ufr on digits": 0.7}
    call_command("runs", "--out", str(tmp_path / "runs.csv"))
    assert (tmp_path / "runs.csv").read_text().count("\n") == 3
    with pytest.raises(SystemExit) as left:
        call_command("runs", "--filter", "zebra = 1")
    assert left.value.code == 2
    assert "error: filter: 'zebra' is not a column here" in capsys.readouterr().err


def test_those_who_only_read_are_offered_nothing_that_they_may_not_do(page, user, make_run):
    make_run(ufr=0.5)
    assert 'name="do"' in page.get("/runs/").content.decode()
    user.groups.set([Group.objects.get(name="viewer")])
    text = page.get("/runs/").content.decode()
    assert 'name="do"' not in text
    assert "Save this view" not in text
    assert page.post("/runs/do/", {"do": "stop"}).status_code == 403
