"""Trends and comparisons are of one dataset with one set of options, and claim what the same images can tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from acc.errors import InvalidInput
from accsite.apps.evaluation import services
from accsite.apps.evaluation.measures import Metrics
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.apps.evaluation.pages import branches as branch_pages
from accsite.apps.evaluation.pages import tabs as tab_pages
from accsite.apps.evaluation.selectors import comparing
from accsite.apps.evaluation.selectors.samples import Samples
from accsite.apps.evaluation.tests.test_record import Measured, Result, evaluation_job, grid
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.tests import rows
from accsite.apps.trees.services.retention import plan_pruning

pytestmark = pytest.mark.both_databases


@pytest.fixture
def branch(db: None) -> Branch:
    return rows.make_branch(None)


@pytest.fixture
def page(branch: Branch) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada", is_superuser=True, is_staff=True))
    return client


def ufr(
    branch: Branch, checkpoint: Checkpoint, value: float, dataset: str, sample: str = "", **fields: Any
) -> Evaluation:
    made = Evaluation.objects.create(
        branch=branch, checkpoint=checkpoint, step=checkpoint.step, dataset=dataset
    )
    Metric.objects.create(
        evaluation=made, name="ufr", value=value, dataset=dataset, sample=sample or dataset, **fields
    )
    return made


def spread(value: float, shared: float = 0.0) -> list[float]:
    """Values without each of 20 groups: a part that both checkpoints share, and a small one of their own."""
    return [value + shared * (-1) ** n + 0.001 * ((n * 7) % 5 - 2) * value for n in range(20)]


def test_the_same_checkpoint_on_two_datasets_is_two_rows_and_no_trend(branch: Branch, page: Client) -> None:
    checkpoint = rows.make_checkpoint(branch, step=260)
    ufr(branch, checkpoint, 0.9, "grid")
    ufr(branch, checkpoint, 0.2, "digits")
    steps, found = branch_pages.metric_rows(branch, branch_pages.newest_with_metrics(branch))
    assert steps == [260]
    assert [(row.where, row.values[0].value, row.trend) for row in found if row.values[0]] == [
        ("grid", 0.9, ""),
        ("digits", 0.2, ""),
    ]
    shown = page.get(f"/evaluate/branch/{branch.pk}/").content.decode()
    assert shown.count("step 260</th>") == 1
    assert "worse" not in shown.replace("what is worse", "")
    assert "over training, on grid" in shown
    assert "over training, on digits" in shown


def test_a_trend_goes_on_over_steps_of_the_same_sample_only(branch: Branch) -> None:
    first, second = (rows.make_checkpoint(branch, step=step) for step in (100, 200))
    ufr(branch, first, 0.9, "grid", "all rows")
    ufr(branch, first, 0.3, "grid", "held out")
    ufr(branch, second, 0.4, "grid", "held out")
    _, found = branch_pages.metric_rows(branch, branch_pages.newest_with_metrics(branch))
    told = {row.where: row.trend for row in found}
    assert told == {"grid": "", "grid, other images or options (2)": "better"}
    lines = tab_pages.curves(branch)
    assert [[point.value for point in line.points] for line in lines] == [[0.3, 0.4], [0.9]]
    assert [line.where for line in lines] == ["grid, other images or options (2)", "grid"]  # as in the table
    assert len(tab_pages.curves(branch, "held out")) == 1


def test_what_could_not_be_measured_stands_in_the_row_of_what_was(branch: Branch) -> None:
    first, second = (rows.make_checkpoint(branch, step=step) for step in (100, 200))
    ufr(branch, first, 0.9, "grid")
    failed = Evaluation.objects.create(branch=branch, checkpoint=second, step=200, dataset="grid")
    Metric.objects.create(evaluation=failed, name="ufr", value=None, dataset="grid", reason="too few rows")
    _, found = branch_pages.metric_rows(branch, branch_pages.newest_with_metrics(branch))
    assert [(row.where, [metric.value for metric in row.values if metric]) for row in found] == [
        ("grid", [0.9, None])
    ]


def test_curves_and_trends_leave_the_values_of_the_jackknife_in_the_database(
    branch: Branch, django_assert_num_queries: Any
) -> None:
    checkpoint = rows.make_checkpoint(branch, step=100)
    evaluation = ufr(branch, checkpoint, 0.9, "grid", without=spread(0.9))
    ufr(branch, rows.make_checkpoint(branch, step=200), 0.5, "digits")
    for sample, found in (("", ["digits", "grid"]), ("grid", ["grid"])):
        with django_assert_num_queries(2) as asked:
            assert [line.where for line in tab_pages.curves(branch, sample)] == found
        assert not any('"without"' in each["sql"] for each in asked)
        assert ("IN ('grid', '')" in asked[0]["sql"]) == bool(sample), (
            "the other samples stay in the database"
        )
    with django_assert_num_queries(1) as asked:
        assert tab_pages._trends(branch, evaluation.step) == {("", "ufr", "grid"): [0.9]}
    assert '"without"' not in asked[0]["sql"]


def two(branch: Branch) -> tuple[Checkpoint, Checkpoint]:
    first, second = (rows.make_checkpoint(branch, step=step) for step in (100, 200))
    return first, second


def test_a_difference_of_the_same_images_is_judged_pair_by_pair(branch: Branch) -> None:
    """Each interval is wide, for the images are few; what both suffer alike does not count."""
    first, second = two(branch)
    ufr(branch, first, 0.5, "grid", without=spread(0.5, 0.2))
    ufr(branch, second, 0.6, "grid", without=spread(0.6, 0.2))
    value = comparing.compare([first, second]).metrics[0].values[1]
    assert (value.verdict, value.claim) == ("beyond the noise", comparing.CAVEAT)
    assert value.difference_low is not None
    assert 0 < value.difference_low < 0.1 < (value.difference_high or 0)
    again = comparing.compare([second, first]).metrics[0].values[1]
    assert again.better is False
    assert "another seed may differ" in again.claim


def test_a_difference_within_the_noise_says_so_and_is_not_called_better(branch: Branch, page: Client) -> None:
    first, second = two(branch)
    judged: dict[str, Any] = {"higher_is_better": True}
    ufr(branch, first, 0.5, "grid", without=spread(0.5, 0.2), **judged)
    ufr(branch, second, 0.5001, "grid", without=spread(0.5001, -0.2), **judged)
    value = comparing.compare([first, second]).metrics[0].values[1]
    assert (value.verdict, value.claim) == ("within the noise", "within the noise of these images")
    shown = page.get(f"/compare/?a={first.pk}&b={second.pk}").text
    assert "no clear difference" in shown
    assert "▲ better" not in shown


@pytest.mark.parametrize(
    ("sample", "without", "claim"),
    [("other", spread(0.9), comparing.NOT_THE_SAME), ("grid", spread(0.9)[:8], comparing.NO_PAIRS)],
)
def test_nothing_is_claimed_of_other_images_or_without_pairs(
    branch: Branch, sample: str, without: list[float], claim: str
) -> None:
    first, second = two(branch)
    ufr(branch, first, 0.1, "grid", without=spread(0.1))
    ufr(branch, second, 0.9, "grid", sample, without=without)
    value = comparing.compare([first, second]).metrics[0].values[1]
    assert (value.verdict, value.claim, value.difference_low) == ("", claim, None)
    assert value.difference == pytest.approx(0.8)


def test_a_comparison_prefers_what_all_were_measured_on_and_names_it(branch: Branch, page: Client) -> None:
    first, second = two(branch)
    for checkpoint, value in ((first, 0.28), (second, 0.3)):
        ufr(branch, checkpoint, value, "grid")
    ufr(branch, second, 0.9, "digits")
    found = comparing.compare([first, second])
    assert found.dataset == "grid"
    assert [value.value for value in found.metrics[0].values] == [0.28, 0.3]
    query = f"a={first.pk}&b={second.pk}"
    for tab in ("metrics", "traversals", "ufr"):
        assert "on grid" in page.get(f"/compare/?{query}&tab={tab}").content.decode(), tab
    other = comparing.compare([first, second], "digits")
    assert [value.value for value in other.metrics[0].values] == [None, 0.9]
    shown = page.get(f"/compare/?{query}&tab=metrics&dataset=digits").content.decode()
    assert "on digits" in shown
    assert "0.28" not in shown
    for tab in ("metrics", "traversals", "ufr"):
        refused = page.get(f"/compare/?{query}&tab={tab}&dataset=nonsense")
        assert refused.status_code == 422
        assert "choose one of: digits, grid" in refused.content.decode()
        assert "on nonsense" not in refused.content.decode()
    assert page.get(f"/compare/export.csv?{query}&dataset=nonsense").status_code == 404
    rows.make_job(branch, kind="evaluate", checkpoint=first, spec={"dataset": "new"}, state="QUEUED")
    assert page.get(f"/compare/?{query}&tab=ufr&dataset=new").status_code == 200, "it is being measured"


def test_values_without_each_group_are_kept_with_the_number(branch: Branch) -> None:
    job = evaluation_job(branch)
    measured = Measured("digit", "accuracy", 0.5, without=(0.49, 0.51234567891), sample="abc")
    kept = services.record(job.pk, 1, Result(metrics=[measured])).metrics.get()
    assert (kept.without, kept.sample) == ([0.49, 0.512346], "abc")


def test_pictures_say_which_images_they_are(branch: Branch, page: Client) -> None:
    job = evaluation_job(branch, spec={"suite": ["reconstructions"]})
    of = replace(grid(), rows="training images, for none are held out")
    kept = services.record(job.pk, 1, Result(reconstructions=[of]))
    shown = page.get(f"/evaluate/{kept.checkpoint_id}/reconstructions/").content.decode()
    assert "training images, for none are held out" in shown
    assert "held-out images" not in shown
    assert "held-out images" not in page.get(f"/evaluate/branch/{branch.pk}/").content.decode()


def test_a_tree_is_coloured_by_one_dataset_at_a_time(branch: Branch) -> None:
    first, second = two(branch)
    ufr(branch, first, 0.9, "grid")
    assert list(Metrics().names(branch.experiment_id)) == ["metric/ufr on grid"]
    assert Metrics().read(branch.experiment_id, "metric/ufr").name == "metric/ufr on grid"
    ufr(branch, first, 0.2, "digits")
    ufr(branch, second, 0.3, "digits")
    assert list(Metrics().names(branch.experiment_id)) == ["metric/ufr on digits", "metric/ufr on grid"]
    on_digits = Metrics().read(branch.experiment_id, "metric/ufr on digits")
    assert on_digits.values == {first.pk: 0.2, second.pk: 0.3}
    assert Metrics().read(branch.experiment_id, "metric/ufr on grid").values == {first.pk: 0.9}
    assert Metrics().of(first) == {"metric/ufr on digits": 0.2, "metric/ufr on grid": 0.9}


def test_pruning_by_a_metric_never_mixes_datasets(branch: Branch) -> None:
    good, poor = two(branch)
    ufr(branch, good, 0.9, "digits")
    ufr(branch, poor, 0.3, "digits")
    rows.make_checkpoint(branch, parent=poor)
    by = {"last": 0, "best": 1, "metric": "metric/ufr"}
    why = {good.pk: "is among the best by metric/ufr on digits"}
    assert plan_pruning(branch.experiment, by).kept.items() >= why.items()
    ufr(branch, poor, 0.4, "grid")
    with pytest.raises(InvalidInput, match="choose one of: metric/ufr on digits, metric/ufr on grid"):
        plan_pruning(branch.experiment, by)
    named = plan_pruning(branch.experiment, {**by, "metric": "metric/ufr on digits"})
    assert named.kept.items() >= why.items()


def test_one_point_is_told_in_a_sentence_and_two_are_drawn(page: Client, branch: Branch) -> None:
    first = rows.make_checkpoint(branch, step=100)
    ufr(branch, first, 0.9, "grid")
    address = f"/evaluate/branch/{branch.pk}/"
    shown = page.get(address).content.decode()
    assert "Measured once, at step 100: 0.9" in shown
    assert 'data-figure="ufr-curve"' not in shown
    ufr(branch, rows.make_checkpoint(branch, step=200), 0.5, "grid")
    shown = page.get(address).content.decode()
    assert "Measured once" not in shown
    assert 'data-figure="ufr-curve"' in shown


def test_a_metric_whose_sample_has_no_name_is_not_taken_for_an_old_one(page: Client, branch: Branch) -> None:
    """Joint tasks look at several datasets; what an earlier version measured has no sample at all."""
    made = ufr(branch, rows.make_checkpoint(branch, step=100), 0.9, "grid")
    joint = Metric.objects.create(evaluation=made, task_key="leakage", name="loss", value=0.1, dataset="grid")
    assert Samples(branch).name(joint) == "grid"
    old = Evaluation.objects.create(branch=branch, checkpoint=made.checkpoint, step=100, dataset="grid")
    left = Metric.objects.create(evaluation=old, task_key="leakage", name="loss", value=0.1, dataset="grid")
    assert Samples(branch).name(left).endswith("measured by an earlier version of ACC")
