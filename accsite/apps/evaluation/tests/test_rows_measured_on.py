"""What was measured on other rows than those held out is asked for by name, shown apart, and ranked with nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework.test import APIClient

from acc.specs import EvalJobSpec, EvalSpec
from accsite.apps.evaluation import services
from accsite.apps.evaluation.forms import RunForm
from accsite.apps.evaluation.measures import Metrics
from accsite.apps.evaluation.models import Metric, Part
from accsite.apps.evaluation.selectors import asked, comparing
from accsite.apps.evaluation.services.asking import find_kept
from accsite.apps.evaluation.services.keys import part_key
from accsite.apps.evaluation.tests.test_record import Measured, Result, evaluation_job, grid
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases


@pytest.fixture
def node(db: None) -> Checkpoint:
    """Return a checkpoint that was trained on a dataset with a split."""
    branch = rows.make_branch(None)
    dataset = rows.make_dataset(split={"training": 70, "test": 30})
    rows.make_task(branch, dataset, key="digit")
    node = rows.make_checkpoint(branch)
    node.spec = {**node.spec, "datasets": {dataset.slug: {"content_hash": dataset.content_hash}}}
    node.save()
    return node


def measured(node: Checkpoint, value: float, **spec: Any) -> None:
    job = evaluation_job(node.branch, spec={"suite": ["metrics", "reconstructions"], **spec})
    Job.objects.filter(pk=job.pk).update(checkpoint=node)
    services.record(
        job.pk, 1, Result(metrics=[Measured("digit", "accuracy", value)], reconstructions=[grid()])
    )
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)


def offered(node: Checkpoint) -> list[str]:
    return [value for value, _ in RunForm(node).fields["rows"].widget.choices]


def test_the_form_offers_the_rows_that_there_are(node: Checkpoint) -> None:
    assert offered(node) == ["", "test", "all"]
    train = {**node.spec["train"], "split": "drawn", "combinations": "digit=3 & slant=0..1"}
    node.spec = {**node.spec, "train": train}
    assert offered(node) == ["", "combinations", "all"]
    node.spec = {**node.spec, "train": {**train, "combinations": "shape=heart"}}
    assert offered(node) == ["", "all"]
    node.spec = {**node.spec, "datasets": {}}
    assert offered(node) == ["", "all"]


def test_what_is_chosen_is_asked_for_and_shown_apart(node: Checkpoint) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    measured(node, 0.5)
    answer = client.post(f"/evaluate/{node.pk}/run/", {"suite": ["metrics"], "rows": "test"})
    assert answer["Location"] == f"/evaluate/{node.pk}/metrics/?rows=test"
    job = Job.objects.latest("pk")
    assert (job.state, job.spec["rows"]) == ("QUEUED", "test"), "what is kept is of other rows"
    shown = client.get(answer["Location"]).content.decode()
    assert "On test rows of the split that came with the data." in shown
    assert "0.5" not in shown.split('id="tab"')[1]
    measured(node, 0.875, rows="test")
    assert "0.875" in client.get(answer["Location"]).content.decode()
    usual = client.get(f"/evaluate/{node.pk}/metrics/").content.decode().split('id="tab"')[1]
    assert ("0.5" in usual, "0.875" in usual) == (True, False)


def test_numbers_of_other_rows_stand_in_no_ranking_and_colour_no_tree(node: Checkpoint) -> None:
    measured(node, 0.5)
    measured(node, 0.875, rows="test")
    assert [metric.value for metric in Metric.objects.on()] == [0.5]
    assert [metric.value for metric in Metric.objects.on("test")] == [0.875]
    assert set(Metrics().of(node).values()) == {0.5}
    other = rows.make_checkpoint(node.branch, step=20)
    measured(other, 0.25)
    measured(other, 0.125, rows="test")
    client = APIClient()
    client.force_login(get_user_model().objects.create_user("ada"))
    for which, wanted in (({}, [0.5, 0.25]), ({"rows": "test"}, [0.875, 0.125])):
        body = {"checkpoints": [node.pk, other.pk], **which}
        found = client.post("/api/v1/eval/compare/", body, format="json")
        assert found.status_code == 200, found.content
        [row] = found.json()["metrics"]
        assert [each["value"] for each in row["values"]] == wanted
    [row] = comparing.compare([node, other]).metrics
    assert [each.value for each in row.values] == [0.5, 0.25]


def test_what_is_kept_of_other_rows_is_not_shown_where_those_held_out_are_asked_for(node: Checkpoint) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    measured(node, 0.875, rows="test")
    shown = [
        client.get(f"/evaluate/{node.pk}/metrics/{query}").content.decode() for query in ("", "?rows=test")
    ]
    assert ["Not measured yet" in page for page in shown] == [True, False]
    exports = [client.get(f"/evaluate/{node.pk}/export.csv{query}") for query in ("", "?rows=test")]
    assert ["0.875" in answer.content.decode() for answer in exports] == [False, True]
    assert f'href="/evaluate/{node.pk}/export.csv?rows=test"' in shown[1]
    assert client.get(f"/evaluate/{node.pk}/export.csv?rows=odd").status_code == 404
    kept = asked.kept(node, asked.read("reconstructions", {}))
    assert kept.part is None


def test_what_is_chosen_besides_leaves_the_rows(node: Checkpoint) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada"))
    measured(node, 0.875, rows="test")
    place = f"/evaluate/{node.pk}/reconstructions/"
    shown = client.get(f"{place}?rows=test").content.decode()
    assert f'href="{place}?rows=test&amp;shown=worst"' in shown
    assert f'href="{place}?rows=test"' in shown
    form = shown.split('class="inset row which"')[1].split("</form>")[0]
    assert 'name="rows" value="test"' in form
    measured(node, 0.5)
    assert f'href="{place}?shown=worst"' in client.get(place).content.decode()
    sorting = client.get(f"/evaluate/{node.pk}/sort/?rows=test").content.decode()
    assert '<input type="hidden" name="rows" value="test">' in sorting.split('class="row options"')[1]


def test_a_job_leads_to_what_it_measured(node: Checkpoint) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    measured(node, 0.875, rows="test", suite=["metrics", "reconstructions", "MyMetric"], seed=3)
    page = client.get(f"/jobs/{Job.objects.latest('pk').pk}/").content.decode()
    links = re.findall(rf'href="(/evaluate/{node.pk}/[^"]+)"', page)
    assert len(links) == 3
    for link in links:
        answer = client.get(link, follow=True)
        assert (answer.status_code, "Not measured yet" in answer.content.decode()) == (200, False), link
    assert "0.875" in client.get(links[2], follow=True).content.decode()


def test_what_was_measured_of_other_rows_under_the_same_key_does_not_count_as_measured(
    node: Checkpoint,
) -> None:
    measured(node, 0.875, rows="test")
    spec = EvalJobSpec(suite=("metrics",))
    Part.objects.filter(name="metrics").update(
        key=part_key(node, spec, "metrics")
    )  # as before rows were a part of it
    assert find_kept(node, spec) is None
    measured(node, 0.5)
    kept = find_kept(node, spec)
    assert kept is not None
    assert [metric.value for metric in kept.metrics.all()] == [0.5]


def test_the_keys_of_what_was_measured_before_stay(node: Checkpoint) -> None:
    for part in ("metrics", "reconstructions"):
        usual, test = (
            part_key(node, EvalSpec(suite=(part,), rows=which), part) for which in ("held_out", "test")
        )
        assert usual != test


def test_a_comparison_is_of_one_set_of_rows_on_all_tabs_and_leads_to_the_others(node: Checkpoint) -> None:
    other = rows.make_checkpoint(node.branch, step=node.step + 1)
    datasets = {slug: {**spec, "name": slug} for slug, spec in node.spec["datasets"].items()}
    for each, value in ((node, 0.9), (other, 0.8)):
        each.spec = {**node.spec, "datasets": datasets}
        each.save()
        measured(each, value)
        measured(each, value / 2, rows="test")
    page = Client()
    page.force_login(get_user_model().objects.create_user("eve", is_superuser=True))
    where = f"/compare/?a={node.pk}&b={other.pk}"
    shown = page.get(where)
    assert [value.value for value in shown.context["rows"][0][0].values] == [0.9, 0.8]
    ((words, url),) = shown.context["rows_choices"]
    assert (words, url) == (asked.ROWS["test"], f"{where}&tab=metrics&rows=test")
    shown = page.get(url)
    assert [value.value for value in shown.context["rows"][0][0].values] == [0.45, 0.4]
    assert f"on {asked.ROWS['test']}</span>" in shown.content.decode()
    assert all("rows=test" in address for _, _, address in shown.context["tabs"])
    told = page.get(shown.context["csv_url"]).content.decode()
    assert "0.45" in told
    assert "0.9" not in told
    assert page.get(f"{where}&rows=nonsense").context["rows"][0][0].values[0].value == 0.9
