"""The table of runs: what a filter means, in which order runs come, which columns they have, and groups of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from acc.errors import InvalidInput
from acc.training.protocols import PointBlock
from accsite.apps.jobs.models import Job
from accsite.apps.runs import selectors, services
from accsite.apps.runs.models import Run
from accsite.apps.runs.selectors.groups import mean_of
from accsite.apps.training.models import LossBlock
from accsite.apps.training.selectors.curves import curves
from accsite.apps.training.selectors.loss import loss_means
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def asked(user):
    """Return the ids of the runs that a filter means, in the order of ``sort``."""

    def found(text: str = "", sort: str = "run"):
        known = selectors.columns_of(user)
        runs = selectors.matching(selectors.all_runs(user), known, text)
        return [run.pk for run in selectors.sorted_by(runs, known, sort)]

    return found


def test_a_filter_compares_numbers_texts_states_times_and_what_is_missing(make_run, asked):
    a = make_run(lr=0.001, losses=[0.9, 0.5], ufr=0.7).pk
    b = make_run(lr=0.002, losses=[0.8, 0.6], ufr=0.4, optimizer="sgd").pk
    c = make_run(lr=0.002, state="FAILED").pk
    assert asked() == [a, b, c]
    assert asked("ufr > .5") == [a]
    assert asked("lr = .002 and ufr < .5") == [b]
    assert asked("lr = .001 or state = failed") == [a, c]
    assert asked("not lr = .001") == [b, c]
    assert asked("ufr = none") == [c]
    assert asked("ufr != none, optimizer = ADAMW") == [a]
    assert asked("optimizer ~ gd") == [b]
    assert asked("optimizer != sgd") == [a, c]
    assert asked("loss/total >= .6") == [b]
    assert asked("best/digit = 1") == [a]
    assert asked("created > 2020-01-01 and created < 2020-01-02") == []
    assert asked("started >= 2020-01-01") == [a, b, c]
    assert asked("branch = digits/main") == [a, b, c]
    assert asked("branch = digits/other") == []
    assert asked("experiment = digits and owner = ada") == [a, b, c]
    assert asked("run >= " + str(b)) == [b, c]


def test_counts_are_compared_by_numbers_between_them_too(make_run, asked):
    a, b = make_run().pk, make_run(lr=1e30).pk
    Run.objects.filter(pk=b).update(step=1)
    assert (asked("step = .5"), asked("step != .5")) == ([], [a, b])
    assert (asked("step > .5"), asked("step >= .5")) == ([b], [b])
    assert (asked("step < .5"), asked("step <= .5"), asked("step > -.5")) == ([a], [a], [a, b])
    assert (asked(f"run > {a}.5"), asked(f"run >= {a}.5"), asked(f"run <= {a}.5")) == ([b], [b], [a])
    assert (asked("lr > 1e25"), asked("lr = 1e30")) == ([b], [b])


def test_runs_without_a_value_come_last_in_either_order(make_run, asked):
    a, b, c = make_run(ufr=0.7).pk, make_run().pk, make_run(ufr=0.4).pk
    assert asked(sort="ufr") == [c, a, b]
    assert asked(sort="-ufr") == [a, c, b]
    assert asked(sort="-metric/ufr on digits") == [a, c, b]
    assert asked(sort="") == [c, b, a]


def test_a_loss_that_is_no_number_is_kept_and_found(make_run, asked):
    a, b = make_run(losses=[0.5, 0.4]).pk, make_run(losses=[0.5, math.inf]).pk
    assert asked("loss/total = inf") == [b]
    assert asked("loss/total < 1") == [a]
    assert asked(sort="-loss/total") == [a, b]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("zebra = 1", "'zebra' is not a column here; such as: run, experiment"),
        ("lr = often", "train/lr is a number, and 'often' is none, such as .5 or 1e-3"),
        ("lr ~ 1", "train/lr is a number; ~ compares texts, use one of = != < <= > >="),
        ("optimizer > a", "train/optimizer is a text; compare it by = != ~, not by >"),
        ("state = tired", "'tired' is not a state of a run; it is one of: queued, starting, running"),
        ("state > done", "state is compared by = and !=, not by >"),
        ("created = soon", "created is a time, and 'soon' is none; write a day such as 2026-11-30"),
        (
            "ufr > .5",
            '\'ufr\' may be one of several columns: "metric/ufr on digits", "metric/ufr on letters"',
        ),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused_with_what_would_be_right(make_run, asked, text, why):
    make_run(ufr=0.5), make_run(ufr=0.6, dataset="letters")
    with pytest.raises(InvalidInput) as refused:
        asked(text)
    assert refused.value.fields["filter"][0].startswith(why)


def test_nobody_is_shown_or_told_of_runs_and_columns_that_are_private(make_run, user, django_user_model):
    other = django_user_model.objects.create_user("bob")
    hidden = rows.make_branch(other, "hidden", visibility="private")
    run = make_run(hidden, ufr=0.9, dataset="secret")
    seen = make_run(ufr=0.5)
    for person, runs in ((user, [seen.pk]), (other, [seen.pk, run.pk])):
        assert sorted(selectors.all_runs(person).values_list("pk", flat=True)) == sorted(runs)
        assert ("metric/ufr on secret" in selectors.columns_of(person)) == (person == other)
    with pytest.raises(InvalidInput, match="is not a column here"):
        selectors.resolve(selectors.columns_of(user), "metric/ufr on secret", "filter")


def test_a_group_has_the_mean_of_its_runs_with_the_interval_of_student_and_n(make_run, user):
    for lr, values in ((0.001, [0.5, 0.6, 0.9]), (0.002, [0.4])):
        for seed, ufr in enumerate(values):
            make_run(lr=lr, seed=seed, ufr=ufr)
    make_run(lr=0.001, seed=9)
    known = selectors.columns_of(user)
    cols = [known["metric/ufr on digits"]]
    found = selectors.groups(selectors.all_runs(user), known, cols, "lr")
    assert found.by.name == "train/lr"
    assert [(group.key, len(group.runs)) for group in found.groups] == [("0.001", 4), ("0.002", 1)]
    mean = found.groups[0].means["metric/ufr on digits"]
    low, high = stats.t.interval(0.95, 2, loc=2 / 3, scale=stats.sem([0.5, 0.6, 0.9]))
    assert mean.n == 3
    assert mean.value == pytest.approx(2 / 3)
    assert mean.half is not None
    assert (mean.value - mean.half, mean.value + mean.half) == pytest.approx((low, high))
    assert found.groups[1].means["metric/ufr on digits"].half is None
    by_value = selectors.groups(selectors.all_runs(user), known, cols, "lr", "ufr")
    assert [group.key for group in by_value.groups] == ["0.002", "0.001"]


def test_a_text_none_is_not_the_same_as_no_value(branch, user, asked):
    a = rows.make_job(branch, kind="track", spec={"config": {"scheduler": "none"}})
    b = rows.make_job(branch, kind="track", spec={"config": {"lr": 1}})
    services.write([a, b])
    assert asked("scheduler = none") == [b.pk]
    assert asked('scheduler = "none"') == [a.pk]
    assert asked("scheduler != none") == [a.pk]
    known = selectors.columns_of(user)
    found = selectors.groups(selectors.all_runs(user), known, [], "scheduler").groups
    assert {(group.key, group.value, group.label, group.runs) for group in found} == {
        ("none", None, "no scheduler", (b.pk,)),
        ('"none"', "none", "none", (a.pk,)),
    }


def test_columns_whose_names_differ_by_case_or_hold_on_are_each_meant_by_their_own(branch, user):
    config = {"LR": 1, "lr": 2, "warm on start": 3, "warm on end": 4, "cold on start": 5}
    services.write([rows.make_job(branch, kind="track", spec={"config": config})])
    known = selectors.columns_of(user)
    assert selectors.resolve(known, "config/LR", "sort").name == "config/LR"
    assert selectors.resolve(known, "config/lr", "sort").name == "config/lr"
    with pytest.raises(InvalidInput, match='one of several columns: "config/LR", "config/lr"'):
        selectors.resolve(known, "Lr", "sort")
    assert known["config/cold on start"].words == "cold on start"


@pytest.mark.parametrize("values", [[1.7e308, 1.6e308], [-1.7e308, 1.7e308], [5e-324, 1e-323]])
def test_means_of_the_largest_and_smallest_numbers_are_numbers_or_have_no_interval(values):
    mean = mean_of(values)
    assert min(values) <= mean.value <= max(values)
    assert mean.half is None or math.isfinite(mean.half)


def test_the_columns_shown_at_first_are_what_was_measured_and_what_differs(make_run, user):
    make_run(lr=0.001, losses=[1.0, 0.5], ufr=0.7), make_run(lr=0.002, losses=[1.0, 0.4], ufr=0.6)
    known = selectors.columns_of(user)
    shown = selectors.shown_columns(known, [], selectors.all_runs(user))
    assert [col.name for col in shown] == [
        *("state", "step", "seconds", "created"),
        *("metric/ufr on digits", "loss/total", "loss/digit", "train/lr"),
    ]


@pytest.mark.parametrize("bucket", [1, 4, 256, 512, 1024])
def test_means_of_buckets_are_those_of_the_values(make_run, bucket):
    values = np.random.default_rng(0).random((2, 1500)).astype(np.float32)
    values[0, 700:720], values[1, 3] = np.nan, np.inf
    job = rows.make_job(make_run().branch, state="RUNNING", attempt=1)
    for start in range(0, 1500, 100):  # most in rows of 512 steps, the last ones as they came
        block = PointBlock(start, ("total", "raw/x"), values[:, start : start + 100], 0.0, 1.0)
        points.append(job.pk, 1, block)
    for place, name in enumerate(("total", "raw/x")):
        found = loss_means([job.pk], name, bucket, 1400)[job.pk]
        known = np.where(np.isfinite(values[place, :1400]), values[place, :1400], np.nan)
        for at in range(0, len(found), 7):
            part = known[at * bucket : (at + 1) * bucket]
            if np.isinf(values[place, at * bucket : (at + 1) * bucket]).any() and bucket > 256:
                continue  # of a row that lies in one bucket only the sum is read, and it is not finite
            expected = np.nanmean(part) if np.isfinite(part).any() else np.nan
            if (at + 1) * bucket <= 1400:
                assert found[at] == pytest.approx(expected, nan_ok=True, rel=1e-5)


def test_a_curve_of_a_group_is_the_mean_of_its_runs_with_a_band(make_run):
    jobs = [make_run(losses=values).pk for values in ([1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [5.0, 6.0])]
    found = curves([("all", "all", jobs), ("one", "one", jobs[:1])])
    assert (found.name, found.names, found.steps.tolist()) == ("total", ["total", "raw/digit"], [0, 1, 2])
    group, one = found.lines
    assert group.mean.tolist() == [3, 4, 4]
    assert one.mean.tolist() == [1, 2, 3]
    low, high = stats.t.interval(0.95, 2, loc=3, scale=stats.sem([1, 3, 5]))
    assert (group.low[0], group.high[0]) == pytest.approx((low, high))
    low, high = stats.t.interval(0.95, 1, loc=4, scale=stats.sem([3, 5]))
    assert (group.low[2], group.high[2]) == pytest.approx((low, high))


def test_a_curve_may_begin_late(make_run):
    job = make_run(losses=[1.0, 2.0])
    LossBlock.objects.filter(job=job).update(start=600)
    Job.objects.filter(pk=job.pk).update(step=602)
    found = curves([("a", "a", [job.pk])], "raw/digit")
    assert (found.name, len(found.steps)) == ("raw/digit", 151)  # four steps a place
    assert found.lines[0].mean[np.isfinite(found.lines[0].mean)].tolist() == [3]
