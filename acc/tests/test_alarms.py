"""Divergence, plateau and collapse are told once, at the same step however the run is cut into blocks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.tests import helpers
from acc.training.losses import series
from acc.training.losses.alarms import Watch, quartiles
from acc.training.protocols import Alarm, Baseline, PointBlock

NOISE = np.random.default_rng(1).normal(0, 0.01, 20_000)


def watched(
    losses: Any, *, cuts: Sequence[int] = (), baseline: Baseline | None = None, **fields: Any
) -> list[Alarm]:
    spec = helpers.task("Loss", key="digit", **fields)
    tasks: Any = {"digit": SimpleNamespace(spec=spec, baseline=baseline)}
    watch, alarms = Watch(), []
    values = np.asarray(losses, dtype=np.float32)
    edges = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    for start, end in itertools.pairwise(edges):
        rates = np.full(end - start, 0.002, dtype=np.float32)
        block = PointBlock(
            start=start,
            series=(series.raw("digit"), series.LEARNING_RATE),
            values=np.stack([values[start:end], rates]),
            wall_start=0.0,
            wall_end=0.0,
        )
        alarms += watch.look(block, tasks)
    return [*alarms, *watch.end(tasks)]


def falling(steps: int, start: float = 2.0, end: float = 0.2) -> Any:
    return np.linspace(start, end, steps) + NOISE[:steps]


def test_a_falling_loss_raises_nothing() -> None:
    assert watched(falling(6000)) == []


def test_divergence_is_told_once_and_again_after_a_recovery() -> None:
    high = 3 + NOISE[:1000]
    losses = np.concatenate([falling(1000), high, falling(1000, 0.3, 0.2), high])
    alarms = [alarm for alarm in watched(losses) if alarm.kind == "divergence"]
    assert [alarm.step for alarm in alarms] == [1299, 3299]
    assert alarms[0].series == "raw/digit"
    for part in ("'digit' (weight 1)", "best of 0.2", "for 300 steps", "learning rate (now 0.002)"):
        assert part in alarms[0].message


def test_a_short_spike_is_no_divergence() -> None:
    losses = falling(1900)
    losses[1000:1020] = 50
    assert watched(losses) == []


def divergences(losses: Any, **fields: Any) -> list[int]:
    """Return the steps at which a divergence was told."""
    return [alarm.step for alarm in watched(losses, **fields) if alarm.kind == "divergence"]


@pytest.mark.parametrize("baseline", [None, Baseline(1.2, "guessing")])
@pytest.mark.parametrize("to", [40.0, 380.0, 101_733.0])
def test_a_loss_that_explodes_is_told_long_before_there_are_400_steps(
    to: float, baseline: Baseline | None
) -> None:
    losses = np.geomspace(0.7, to, 300) * np.exp(10 * NOISE[:300])
    (step,) = divergences(losses, baseline=baseline)
    assert step < 280


@pytest.mark.parametrize("steps", [5, 40, 95, 203, 401, 1003])
def test_a_job_that_ends_in_an_explosion_says_so_however_short_that_was(steps: int) -> None:
    losses = np.concatenate([0.7 + NOISE[:steps], np.geomspace(3, 101_733, 6)])
    alarms = [
        alarm for alarm in watched(losses, baseline=Baseline(1.0, "guessing")) if alarm.kind == "divergence"
    ]
    assert [alarm.step for alarm in alarms] == [steps + 5]
    assert "1.017e+05" in alarms[0].message
    assert "at the end" in alarms[0].message


def test_a_job_that_ends_well_above_its_best_says_so() -> None:
    losses = np.concatenate([falling(250), np.linspace(1, 6, 80)])
    assert divergences(losses) == [329]


def test_an_explosion_from_the_first_step_is_told_by_the_baseline_or_by_where_it_began() -> None:
    losses = np.concatenate([np.geomspace(0.7, 1e6, 10), np.full(40, 1e6)])
    assert len(divergences(losses)) == 1
    assert len(divergences(losses, baseline=Baseline(2.3, "guessing"))) == 1


def test_a_loss_with_a_floor_may_rise_but_not_explode() -> None:
    floor = Baseline(0.0, "a collapsed posterior", floor=True)
    assert divergences(np.geomspace(0.01, 400, 600), baseline=floor) == []
    assert (
        len(divergences(np.concatenate([np.full(300, 45.0), np.geomspace(45, 5.5e7, 200)]), baseline=floor))
        == 1
    )


SHAPES: dict[str, Any] = {
    "falling": lambda x: 2.3 * np.exp(-5 * x) + 0.1,
    "deep": lambda x: 10.0 ** (-6 * x),
    "flat": np.ones_like,
    "steps": lambda x: np.where(x < 0.4, 2.3, 0.4),
    "bumpy": lambda x: 0.5 + 0.1 * np.cos(9 * x) ** 2,
    "warming up": lambda x: np.where(x < 0.1, 0.6 + 4 * x, 1.0 - 0.6 * x),
}


@pytest.mark.parametrize("shape", SHAPES)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(20, 1500),
    drawn=st.tuples(*map(st.sampled_from, ([0.02, 0.3, 1.0], [0.0, 0.01, 0.05], [1.0, 0.25]))),
)
@settings(deadline=None, max_examples=25)
def test_a_healthy_loss_is_no_divergence_however_noisy(
    shape: str, seed: int, steps: int, drawn: tuple[float, float, float]
) -> None:
    noise, spikes, kept = drawn
    rng = np.random.default_rng(seed)
    losses = SHAPES[shape](np.linspace(0, 1, steps)) * rng.lognormal(0, noise, steps)
    spiking = rng.random(steps) < spikes  # single batches may be anything
    losses *= np.where(spiking, rng.lognormal(4, 1, steps), 1)
    losses[rng.random(steps) > kept] = np.nan  # the sampled schedule drew other tasks
    assert divergences(losses) == []


def test_a_plateau_is_told_once_with_its_baseline() -> None:
    losses = np.concatenate([falling(1000), 0.2 + NOISE[:6000]])
    alarms = watched(losses, baseline=Baseline(2.3, "guessing"))
    assert [alarm.kind for alarm in alarms] == ["plateau"]
    assert "better than the trivial 2.3" in alarms[0].message
    assert alarms[0].step <= 3300
    stuck = watched(2.3 + NOISE[:3000], baseline=Baseline(2.3, "guessing"))
    assert "no better than the trivial 2.3 (guessing). It learns nothing" in stuck[0].message


def test_a_second_plateau_lower_down_is_told_too() -> None:
    losses = np.concatenate([1 + NOISE[:2500], 0.5 + NOISE[:2500]])
    assert [alarm.kind for alarm in watched(losses)] == ["plateau", "plateau"]


def test_a_collapsed_posterior_is_told_once_and_only_while_it_weighs() -> None:
    floor = Baseline(0.0, "a collapsed posterior", floor=True)
    losses = np.concatenate([np.linspace(5, 0.001, 1000), np.full(3000, 0.001)])
    alarms = watched(losses, baseline=floor)
    assert [alarm.kind for alarm in alarms] == ["collapse"]
    assert 1400 <= alarms[0].step <= 1599
    assert watched(losses, baseline=floor, weight=0) == []
    rising = np.concatenate([np.full(300, 0.01), np.linspace(0.01, 20, 1000), np.full(3000, 20.0)])
    assert watched(rising, baseline=floor) == []


def test_a_collapse_is_over_when_the_loss_has_risen_and_does_not_flap() -> None:
    floor = Baseline(0.0, "a collapsed posterior", floor=True)
    wavering = np.tile([0.001] * 300 + [0.07] * 300, 3)
    losses = np.concatenate([np.full(600, 0.001), wavering, np.full(400, 17.0)])
    alarms = watched(losses, baseline=floor)
    assert [(alarm.kind, alarm.over, alarm.step) for alarm in alarms] == [
        ("collapse", False, 499),
        ("collapse", True, 2499),
    ]
    assert alarms[1].message.startswith("collapsed at 499, recovered by 2499")
    assert alarms[1].series == alarms[0].series


def test_a_collapse_that_a_lower_weight_ends_is_over_though_the_watch_began_anew() -> None:
    spec = helpers.task("Loss", key="kl")
    tasks: Any = {"kl": SimpleNamespace(spec=spec, baseline=Baseline(0.0, "collapsed", floor=True))}
    watch, alarms = Watch(), []
    for start, value in ((0, 0.001), (500, 17.0)):
        values = np.full((1, 500), value, dtype=np.float32)
        alarms += watch.look(PointBlock(start, (series.raw("kl"),), values, 0.0, 0.0), tasks)
        watch.restart()
        watch.restart()
    assert [(alarm.over, alarm.step) for alarm in alarms] == [(False, 499), (True, 599)]


def test_a_collapse_from_before_a_resume_is_told_to_be_over() -> None:
    spec = helpers.task("Loss", key="kl")
    tasks: Any = {"kl": SimpleNamespace(spec=spec, baseline=Baseline(0.0, "collapsed", floor=True))}
    block = PointBlock(700, (series.raw("kl"),), np.full((1, 200), 17.0, dtype=np.float32), 0.0, 0.0)
    (over,) = Watch({"kl": 499}).look(block, tasks)
    assert (over.kind, over.over, over.step) == ("collapse", True, 799)
    assert over.message.startswith("collapsed at 499, recovered by 799")
    assert Watch().look(block, tasks) == []


def test_free_bits_at_their_floor_are_no_collapse() -> None:
    assert watched(np.full(4000, 4.0), baseline=Baseline(4.0, "free bits", floor=True)) == []


def test_a_task_of_weight_0_raises_nothing() -> None:
    assert watched(np.concatenate([falling(500), 5 + NOISE[:4000]]), weight=0) == []


@given(st.lists(st.integers(1, 4000), max_size=20), st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_blocks_do_not_matter(cuts: list[int], every: int) -> None:
    losses = np.concatenate([falling(1000), 3 + NOISE[:3000]])
    if every:
        losses[:: every + 1] = np.nan  # the sampled schedule drew other tasks
    assert watched(losses, cuts=cuts) == watched(losses)


def test_a_run_tells_its_sink_and_a_command_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acc.training.losses.alarms.WINDOW_STEPS", 2)
    datasets = {"data": helpers.blobs(40)}
    stuck = helpers.job(datasets, (helpers.task("reconstruction"),), steps=90, lr=1e-12)
    _, sink = helpers.run(stuck, datasets)
    told = [alarm.kind for alarm in sink.alarms]
    assert told == ["plateau"]
    control = helpers.Script({60: [("set_lr", {"lr": 2e-12})]})
    longer = stuck.model_copy(update={"train": stuck.train.model_copy(update={"steps": 110})})
    _, again = helpers.run(longer, datasets, control=control)
    assert [alarm.kind for alarm in again.alarms] == ["plateau", "plateau"]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=150))
def test_the_quartiles_of_a_window_are_those_of_numpy_to_the_bit(values: list[float]) -> None:
    assert list(quartiles(values)) == np.quantile(np.array(values), (0.25, 0.5, 0.75)).tolist()
