"""No loss point is lost, doubled or blunted, however blocks are cut, joined and read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from acc.training.protocols import PointBlock
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.training import blocks
from accsite.apps.training.errors import Gap
from accsite.apps.training.models import Branch, LossBlock
from accsite.apps.training.selectors.loss import last_losses, loss_history
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases


def block(start: int, values: Any, series: tuple[str, ...] = ("total",)) -> PointBlock:
    array = np.asarray(values, np.float32).reshape(len(series), -1)
    return PointBlock(start, series, array, 1000.0 + start, 1000.0 + start + array.shape[1] - 1)


@pytest.fixture
def running(branch: Branch) -> Job:
    return rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=10_000)


def test_points_come_back_as_they_went_in(running: Job) -> None:
    points.append(running.pk, 1, block(0, [[1, 2, 3], [4, math.nan, 6]], ("total", "lr")))
    header, columns = loss_history(running)
    assert (header["start"], header["stop"], header["series"], header["kind"]) == (
        0,
        3,
        ["total", "lr"],
        "raw",
    )
    np.testing.assert_array_equal(columns, np.array([[1, 2, 3], [4, np.nan, 6]], np.float32))


def test_a_single_step_is_read(running: Job) -> None:
    points.append(running.pk, 1, block(0, [[7]]))
    points.append(running.pk, 1, block(1, [[8]]))
    assert loss_history(running)[1].tolist() == [[7, 8]]
    assert loss_history(running, start=1, stop=2)[1].tolist() == [[8]]


def test_the_step_the_rate_and_seq_move_with_the_points(running: Job) -> None:
    first = points.append(running.pk, 1, block(0, [range(10)]))
    second = points.append(running.pk, 1, block(10, [range(5)]))
    assert (first["seq"], second["seq"], second["start"], second["step"]) == (1, 2, 10, 15)
    running.refresh_from_db()
    assert (running.step, running.points_seq) == (15, 2)
    assert running.steps_per_second == pytest.approx(1.0)


def test_a_block_that_was_kept_already_changes_nothing(running: Job) -> None:
    points.append(running.pk, 1, block(0, [[1, 2]]))
    again = points.append(running.pk, 1, block(0, [[1, 2]]))
    assert again["seq"] == 1
    points.append(running.pk, 1, block(0, [[1, 2, 3]]))
    assert loss_history(running)[1].tolist() == [[1, 2, 3]]


def test_a_gap_is_refused_and_nothing_is_written(running: Job) -> None:
    with pytest.raises(Gap, match=r"from step 5 .* end before step 0"):
        points.append(running.pk, 1, block(5, [[1]]))
    assert not LossBlock.objects.exists()


@pytest.mark.parametrize(
    ("attempt", "state"), [(0, "RUNNING"), (2, "RUNNING"), (1, "QUEUED"), (1, "CANCELLED")]
)
def test_a_worker_that_lost_the_job_writes_nothing(running: Job, attempt: int, state: str) -> None:
    Job.objects.update(state=state)
    with pytest.raises(Fenced):
        points.append(running.pk, attempt, block(0, [[1]]))
    with pytest.raises(Fenced):
        points.truncate(running.pk, 0, attempt)
    assert not LossBlock.objects.exists()
    assert Job.objects.get().step == 0


@pytest.mark.parametrize(
    "bad",
    [
        PointBlock(0, ("a", "b"), np.zeros((1, 3), np.float32), 0, 1),
        PointBlock(0, ("a",), np.zeros((1, 0), np.float32), 0, 1),
        PointBlock(0, ("a", "a"), np.zeros((2, 1), np.float32), 0, 1),
        PointBlock(-1, ("a",), np.zeros((1, 1), np.float32), 0, 1),
    ],
)
def test_a_block_of_the_wrong_shape_is_refused(running: Job, bad: PointBlock) -> None:
    with pytest.raises(ValueError, match="block"):
        points.append(running.pk, 1, bad)
    assert not LossBlock.objects.exists()


def test_small_blocks_become_rows_of_one_chunk_as_the_run_goes_on(running: Job) -> None:
    steps, size = 3 * blocks.CHUNK_STEPS + 100, 7
    values = np.arange(steps, dtype=np.float32)
    for start in range(0, steps, size):
        points.append(running.pk, 1, block(start, values[start : start + size][None]))
    places = list(LossBlock.objects.values_list("start", "count"))
    assert places[:3] == [(0, 512), (512, 512), (1024, 512)]
    assert sum(count for _, count in places) == steps
    points.compact(running.pk)
    assert LossBlock.objects.count() == 4
    np.testing.assert_array_equal(loss_history(running)[1][0], values)


def test_a_spike_of_one_step_is_in_the_envelope_of_a_long_run(running: Job) -> None:
    values = np.ones((2, 5000), np.float32)
    values[0, 3333], values[1, 4097] = 1e6, -1e6
    for start in range(0, 5000, 250):
        points.append(running.pk, 1, block(start, values[:, start : start + 250], ("total", "raw/a")))
    header, columns = loss_history(running, points=20)
    assert (header["kind"], header["bucket"], header["start"], header["stop"]) == ("envelope", 256, 0, 5000)
    assert columns.shape == (6, 20)
    assert columns[1, 3333 // 256] == 1e6
    assert columns[3, 4097 // 256] == -1e6
    assert columns[2, 0] == 1


def test_an_envelope_of_whole_rows_reads_the_values_of_the_newest_alone(
    running: Job, django_assert_num_queries: Any
) -> None:
    points.append(running.pk, 1, block(0, np.arange(16 * 512, dtype=np.float32)[None]))
    LossBlock.objects.filter(start__lt=8 * 512).update(values=b"")  # so that decoding one would fail
    with django_assert_num_queries(3):
        header, columns = loss_history(running, points=4)
    assert header["bucket"] == 2048
    assert columns[0].tolist() == [0, 2048, 4096, 6144]
    assert columns[2].tolist() == [1023.5, 3071.5, 5119.5, 7167.5]
    assert header["last"] == {"total": (16 * 512 - 1, 16 * 512 - 1)}


def test_after_gives_only_what_a_page_has_not_seen(running: Job) -> None:
    points.append(running.pk, 1, block(0, [range(10)]))
    header, columns = loss_history(running, after=6)
    assert (header["start"], columns.tolist()) == (7, [[7, 8, 9]])
    header, columns = loss_history(running, after=9)
    assert (header["start"], header["stop"], columns.shape) == (10, 10, (0, 0))


def test_infinite_losses_are_kept_and_shown(running: Job) -> None:
    points.append(running.pk, 1, block(0, [[1, math.inf, -math.inf, math.nan] * 4]))
    assert loss_history(running, points=1)[1][:2].tolist() == [[-math.inf], [math.inf]]


def test_last_losses_skips_steps_without_a_value(running: Job) -> None:
    points.append(running.pk, 1, block(0, [[1, 2], [5, math.nan]], ("total", "raw/a")))
    assert last_losses(running) == {"total": 2.0, "raw/a": 5.0}


def test_the_clock_tells_when_a_step_was_made_across_a_pause(running: Job) -> None:
    points.append(running.pk, 1, PointBlock(0, ("total",), np.zeros((1, 300), np.float32), 100.0, 110.0))
    points.append(running.pk, 1, PointBlock(300, ("total",), np.zeros((1, 300), np.float32), 500.0, 510.0))
    header, _ = loss_history(running, clock=True)
    steps, seconds = header["clock"]
    assert np.interp([0, 299, 300, 599], steps, seconds).tolist() == [100.0, 110.0, 500.0, 510.0]


SERIES = st.sampled_from([("total",), ("total", "raw/a"), ("raw/b", "total")])
BLOCKS = st.lists(st.tuples(st.integers(1, 700), SERIES), min_size=1, max_size=8)


class PointsAgreeWithAPlainList(TestCase):
    """Every way of reading agrees with a dictionary of (step, series) -> value."""

    def setUp(self) -> None:
        self.branch = rows.make_branch(None)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        made=BLOCKS,
        again=BLOCKS,
        cut=st.integers(0, 5000),
        window=st.tuples(st.integers(0, 5000), st.integers(0, 5000)),
        wanted=st.integers(1, 40),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_after_appends_a_resume_and_more_appends(self, *, made, again, cut, window, wanted, seed) -> None:
        random = np.random.default_rng(seed)
        job = rows.make_job(self.branch, state=JobState.RUNNING, attempt=1)
        oracle: list[dict[str, float]] = []

        def append(shape: tuple[int, tuple[str, ...]]) -> None:
            count, names = shape
            values = random.standard_cauchy((len(names), count)).astype(np.float32)
            values[random.random(values.shape) < 0.1] = np.nan
            points.append(job.pk, 1, block(len(oracle), values, names))
            oracle.extend(dict(zip(names, column, strict=True)) for column in values.T)

        for shape in made:
            append(shape)
        cut = min(cut, len(oracle))
        points.truncate(job.pk, cut, 1)
        del oracle[cut:]
        for shape in again:
            append(shape)
        points.compact(job.pk)
        start, stop = sorted(window)
        self.check(job, oracle, 0, len(oracle), None)
        self.check(job, oracle, start, stop, None)
        self.check(job, oracle, 0, len(oracle), wanted)
        self.check(job, oracle, start, stop, wanted)
        counts = sum(LossBlock.objects.filter(job=job).values_list("count", flat=True))
        assert counts == len(oracle)
        assert all(row.count <= blocks.CHUNK_STEPS for row in LossBlock.objects.filter(job=job))

    def check(
        self, job: Job, oracle: list[dict[str, float]], start: int, stop: int, wanted: int | None
    ) -> None:
        header, columns = loss_history(job, start=start, stop=stop, points=wanted)
        names, bucket = header["series"], header["bucket"]
        stop = min(stop, len(oracle))
        start = min(start, stop)
        assert header["stop"] == stop
        known = {name for step in oracle[start:stop] for name in step}
        assert known <= set(names)
        if header["kind"] == "raw":
            expected = np.array(
                [[step.get(name, np.nan) for step in oracle[start:stop]] for name in names], np.float32
            ).reshape(len(names), stop - start)
            np.testing.assert_array_equal(columns, expected)
            return
        assert wanted is not None
        assert columns.shape[1] <= wanted
        assert header["start"] <= start < header["start"] + bucket
        for row, name in enumerate(names):
            for index in range(columns.shape[1]):
                first = header["start"] + index * bucket
                inside = oracle[max(first, start) : min(first + bucket, stop)]
                values = np.array([step.get(name, np.nan) for step in inside], np.float32)
                values = values[~np.isnan(values)]
                low, high, mean = columns[3 * row : 3 * row + 3, index]
                if not values.size:
                    assert np.isnan([low, high, mean]).all()
                    continue
                assert (low, high) == (values.min(), values.max())
                assert mean == pytest.approx(values.mean(dtype=np.float64), rel=1e-5, abs=1e-6)
