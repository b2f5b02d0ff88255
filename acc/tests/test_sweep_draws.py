"""The same trials come out whatever ends first and whatever is killed between; a sweep ranks and claims nothing."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.errors import InvalidInput
from acc.studies import Arm, Claim, Measured, Outcome, Result, Study
from acc.studies import space as spaces
from acc.studies.sweep import (
    FIRST,
    Sweep,
    advance,
    arm_of,
    fresh_seeds,
    importance,
    is_over,
    ranking,
    standings,
    winner,
)

OUTCOME = Outcome(name="y")
SPACE = "lr: 1e-5 to 1e-1 log; opt: adam or sgd; n: 2 to 8 int"
FIRST_VALUES = {"lr": 1e-3, "opt": "sgd", "n": 4}


def sweep(**how: Any) -> Sweep:
    return Sweep(**{"space": SPACE, "seeds": 3, "trials": 12, "sampler": "tpe", "first": FIRST_VALUES, **how})


def measured(values: Any, seed: int) -> float:
    value = -((math.log10(values["lr"]) + 2.5) ** 2) + 0.5 * (values["opt"] == "adam")
    return value - abs(values["n"] - 6) / 20 + (seed * 7919 % 13) / 130


def walk(asked: Sweep, order: int, failing: Any = lambda number, seed: False, killed: bool = False):
    """Do a sweep, places ending in an order of chance; killed: all but rows and files is forgotten at each step."""
    chance = random.Random(order)
    results: dict[Any, Any] = {}
    while True:
        if killed:
            asked = Sweep.model_validate_json(asked.model_dump_json())
        step = advance(asked, OUTCOME, list(results.values()))
        asked = step.sweep
        for number, seed in step.places:
            assert (number, seed) not in results, "a place is returned once"
            results[number, seed] = Result(arm=arm_of(number), seed=seed)
        waiting = [place for place, result in results.items() if result.status == "waiting"]
        if not waiting:
            return asked, list(results.values())
        number, seed = chance.choice(waiting)
        values = asked.drawn[number - 1].values if number else FIRST_VALUES
        results[number, seed] = Result(
            arm=arm_of(number),
            seed=seed,
            status="failed" if failing(number, seed) else "succeeded",
            seconds=900.0,
            values={"y": Measured(value=measured(values, seed))},
        )


def outline(done):
    asked, results = done
    return asked, sorted((each.arm, each.seed, str(each.values)) for each in results)


KINDS = [
    {"sampler": "grid", "trials": 40},
    {"sampler": "random"},
    {"sampler": "tpe", "trials": 14},
    {"sampler": "tpe", "trials": 14, "prune": True, "seeds": 5},
    {"sampler": "random", "prune": True, "seeds": 4, "maximize": False, "together": 1},
]


@pytest.mark.parametrize("how", KINDS, ids=["grid", "random", "tpe", "tpe-pruned", "random-pruned"])
def test_the_same_trials_come_out_whatever_ends_first_and_whatever_is_killed(how):
    done = walk(sweep(**how), 1)
    assert outline(done) == outline(walk(sweep(**how), 2, killed=True))
    asked, results = done
    assert len(asked.drawn) == asked.limit
    assert is_over(asked, OUTCOME, results)
    drawn = [spaces.key(trial.values) for trial in asked.drawn]
    assert len(set(drawn)) == len(drawn)
    assert all(trial.values[each.name] in each for trial in asked.drawn for each in asked.space)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**62), st.sampled_from(["grid", "random"]), st.integers(1, 6), st.integers(0, 99))
def test_any_seed_and_any_number_together_come_out_the_same_in_any_order(seed, sampler, together, order):
    how = {"sampler": sampler, "seed": seed, "together": together, "trials": 5, "seeds": 2}
    assert outline(walk(sweep(**how), order)) == outline(walk(sweep(**how), order + 1))


def test_another_seed_of_the_sweep_draws_other_trials():
    one, other = (walk(sweep(sampler="random", seed=seed, trials=4), 0)[0] for seed in (0, 1))
    assert one.drawn != other.drawn


def test_all_trials_have_the_same_seeds_and_no_more_than_the_budget():
    asked, results = walk(sweep(sampler="random", jobs=24, jobs_each=2), 3)
    assert len(results) == 12
    assert len(asked.drawn) == 3
    by_arm = {
        arm: [each.seed for each in results if each.arm == arm] for arm in {each.arm for each in results}
    }
    assert all(sorted(seeds) == [0, 1, 2] for seeds in by_arm.values())
    short, _ = walk(sweep(sampler="random", hours=1.5, together=1), 3)
    assert len(short.drawn) == 1


def test_a_small_space_ends_when_it_is_used_up():
    space = "lr: 1e-4 to 1e-3 log in 2 points; opt: adam or sgd; n: 2 to 3 int"
    asked, results = walk(sweep(space=space, sampler="grid", first={}), 0)
    assert len(asked.drawn) == 8
    assert is_over(asked, OUTCOME, results)
    kinds = "lr: .001 or .01; opt: adam or sgd; n: 4 or 5"
    for sampler in ("random", "tpe"):
        asked, results = walk(sweep(space=kinds, sampler=sampler), 0)
        assert len(asked.drawn) == 7
        assert FIRST_VALUES not in [trial.values for trial in asked.drawn]
        assert is_over(asked, OUTCOME, results)


def test_more_trials_keep_those_that_were_drawn():
    short, results = walk(sweep(trials=5), 1)
    longer = short.model_copy(update={"trials": 9})
    step = advance(longer, OUTCOME, results)
    assert step.sweep.drawn[:5] == short.drawn
    assert not is_over(longer, OUTCOME, results)
    assert walk(sweep(trials=9), 4)[0].drawn[:6] == step.sweep.drawn[:6]


def test_a_trial_with_a_failed_seed_has_no_value_and_ranks_last():
    asked, results = walk(sweep(sampler="random"), 1, failing=lambda number, seed: number == 3 and seed == 1)
    stands = standings(asked, OUTCOME, results)
    assert (stands[3].state, stands[3].value) == ("failed", None)
    assert "seed 1" in stands[3].reason
    assert ranking(asked, stands)[-1].number == 3


def test_pruned_trials_come_after_those_with_all_seeds_and_some_are_pruned():
    asked, results = walk(sweep(trials=14, prune=True, seeds=5), 1)
    stands = ranking(asked, standings(asked, OUTCOME, results))
    states = [stand.state for stand in stands]
    assert {"done", "pruned"} == set(states)
    assert states == sorted(states)
    assert len(results) < 15 * 5
    done = [stand.value for stand in stands if stand.state == "done" and stand.value is not None]
    assert done == sorted(done, reverse=True)


def test_the_winner_is_a_trial_and_confirmed_on_seeds_that_chose_nothing():
    asked, results = walk(sweep(), 1)
    stands = standings(asked, OUTCOME, results)
    best = winner(asked, stands)
    assert best.value == max(stand.value for stand in stands if stand.value is not None)
    fresh = fresh_seeds(asked.seeds, 6)
    assert not set(fresh) & set(asked.seeds)
    plan = {
        "name": "confirmed",
        "arms": [Arm(name=FIRST), Arm(name=best.arm, changes={"lr": 1})],
        "outcomes": [OUTCOME],
        "claims": [Claim(first=best.arm, second=FIRST, outcome="y")],
        "chosen_on": asked.seeds,
    }
    assert Study(**plan, seeds=fresh).chosen_on == (0, 1, 2)
    with pytest.raises(ValueError, match="seed 2 is refused: the arms were chosen on it"):
        Study(**plan, seeds=(2, 3, 4))
    with pytest.raises(InvalidInput, match="seed 1 is refused"):
        Study(**plan, seeds=fresh).revised(seen=0, seeds=(1, *fresh))


def test_a_first_arm_that_ranks_first_leaves_nothing_to_confirm():
    asked = sweep(sampler="random", trials=1, maximize=False)
    asked, results = walk(asked, 1)
    best = [each.model_copy(update={"values": {"y": Measured(value=-99.0)}}) if each.arm == FIRST else each
            for each in results]  # fmt: skip
    with pytest.raises(InvalidInput, match="ranks before every trial"):
        winner(asked, standings(asked, OUTCOME, best))
    with pytest.raises(InvalidInput, match="no trial has a value"):
        winner(asked, standings(asked, OUTCOME, []))


def test_importance_finds_what_matters_and_refuses_few_trials():
    asked, results = walk(sweep(sampler="random", trials=30), 1)
    shares = importance(asked, standings(asked, OUTCOME, results))
    assert next(iter(shares)) == "lr"
    assert 0.5 < sum(shares.values()) <= 1
    assert shares["lr"] > 0.3
    few, results = walk(sweep(sampler="random", trials=5), 1)
    with pytest.raises(InvalidInput, match="6 trials with all their seeds are too few"):
        importance(few, standings(few, OUTCOME, results))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"seeds": 0}, "0 seeds are refused"),
        ({"seeds": 1, "prune": True}, "cannot be ended early"),
        ({"jobs": 5}, "the first arm and one trial take 6"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"space": "lr: 2 to 1"}, "low 2 is not below high 1"),
        ({"space": "n: 1 to 5000 int", "sampler": "grid", "first": {}}, "say how many a grid has"),
        ({"space": {f"p{n}": "1 to 9" for n in range(9)}, "sampler": "grid", "first": {}}, "are the most"),
        ({"sampler": "bayes"}, "grid"),
    ],
    ids=["seeds", "prune", "jobs", "trials", "space", "grid", "wide grid", "sampler"],
)
def test_a_sweep_that_cannot_be_is_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        sweep(**wrong)


def test_optuna_and_torch_are_not_imported_with_a_sweep():
    code = "import sys, acc.studies.sweep; assert not {'optuna', 'torch', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
