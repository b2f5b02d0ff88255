"""What may be said of a claim: the decision, and the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from acc.specs import parse
from acc.studies import Measured, Result, Study, Verdict, judge, settled
from acc.studies.statistics import Spending, more_seeds

CLAIM = "curriculum > digits only on ufr"


def study(seeds: Any = 6, claims: Sequence[str] = (CLAIM,), **fields: Any) -> Study:
    made: Study = parse(
        Study,
        {
            "name": "Curriculum",
            "arms": [
                {"name": "digits only"},
                {"name": "curriculum", "changes": {"tasks": {"thickness": {}}}},
            ],
            "outcomes": [{"name": "ufr"}, {"name": "psnr", "unit": "dB"}],
            "seeds": seeds,
            "claims": claims,
            **fields,
        },
    )
    return made


def result(arm: str, seed: int, **fields: Any) -> Result:
    values = {name: value if isinstance(value, Measured) else Measured(value=value, sample="grid") for name, value in
              fields.pop("values", {}).items()}  # fmt: skip
    return Result(**{"arm": arm, "seed": seed, "status": "succeeded", "values": values, **fields})


def results(differences: Sequence[float], outcome: str = "ufr", base: float = 0.2) -> list[Result]:
    found = []
    for seed, difference in enumerate(differences):
        here = base + SEEDS[seed % len(SEEDS)]
        found.append(result("digits only", seed, values={outcome: here}))
        found.append(result("curriculum", seed, values={outcome: here + difference}))
    return found


SEEDS = (0.0, 0.25, -0.125, 0.125, -0.0625)
"""What seeds do to both arms alike."""


def only(plan: Study, found: Sequence[Result]) -> Verdict:
    (verdict,) = judge(plan, found)
    return verdict


GAINS = (0.25, 0.26, 0.24, 0.27, 0.23, 0.25)


def test_six_seeds_of_one_mind_decide_and_the_sentence_has_all_figures() -> None:
    verdict = only(study(), results(GAINS))
    assert verdict.decision == "decided for"
    assert verdict.n == 6
    assert verdict.p == 0.03125
    assert verdict.sentence == (
        "On ufr, 'curriculum' is above 'digits only': mean paired difference +0.25 (95 % t interval +0.235 to +0.265; "
        "n = 6 seeds, above in 6 of 6; exact sign-flip test, two-sided p = .031)."
    )


def test_five_seeds_cannot_decide_and_the_sentence_says_that_six_can() -> None:
    verdict = only(study(5), results(GAINS[:5]))
    assert verdict.decision == "not decided yet"
    assert verdict.more == 2, "after looking, by the test that may be looked at"
    assert (
        "is not decided yet: 5 seeds cannot decide at .05 with a two-sided test; 6 can. So far:"
        in verdict.sentence
    )
    assert verdict.sentence.endswith(
        "With the effect and the spread seen, 2 more seeds decide in 4 of 5 such studies."
    )


def test_a_claim_may_be_decided_against() -> None:
    verdict = only(study(), results([-each for each in GAINS]))
    assert verdict.decision == "decided against"
    assert verdict.sentence.startswith("Against the claim, on ufr 'curriculum' is below 'digits only': mean")
    margin = only(study(claims=[f"{CLAIM} by at least .5"]), results(GAINS))
    assert margin.decision == "decided against"
    assert margin.sentence.startswith(
        "Against the claim, on ufr 'curriculum' is not above 'digits only' by at least .5"
    )
    assert "above .5 in 0 of 6" in margin.sentence


def test_a_claim_of_no_great_loss_is_said_as_one() -> None:
    plan = study(claims=["curriculum > digits only on psnr by at least -1"])
    verdict = only(plan, results([-0.1, -0.2, 0.1, -0.15, 0.05, -0.05], "psnr", 20))
    assert verdict.decision == "decided for"
    assert verdict.sentence.startswith("On psnr, 'curriculum' is at most 1 dB below 'digits only': mean")


def test_less_is_claimed_with_the_other_sign() -> None:
    plan = study(claims=["curriculum < digits only on psnr"])
    verdict = only(plan, results([-each for each in GAINS], "psnr", 20))
    assert verdict.decision == "decided for"
    assert verdict.mean == pytest.approx(-0.25)
    assert (
        "mean paired difference -0.25 dB (95 % t interval -0.265 to -0.235; n = 6 seeds, below in 6 of 6"
        in verdict.sentence
    )


def test_the_verdict_of_a_fixed_plan_waits_for_its_seeds() -> None:
    verdict = only(study(9), results(GAINS))
    assert verdict.decision == "not decided yet"
    assert verdict.waiting == 3
    assert verdict.why == "6 of 9 pairs of seeds are there, and this plan is judged once all of them are"
    assert "So far" not in verdict.sentence, "no figures tempt before the time"
    assert verdict.p is None


def test_one_checkpoint_each_never_speaks_of_a_method() -> None:
    verdict = only(study(1), results([0.9]))
    assert verdict.decision == "cannot be decided"
    assert verdict.p is None
    assert "one checkpoint of each arm says nothing about a method" in verdict.sentence
    early = only(study(6), results([0.9]))
    assert early.decision == "not decided yet"
    assert early.p is None
    assert (early.wins, early.n) == (1, 1), "the pair that is there is counted as what it is"


def test_numbers_of_other_images_than_their_partners_are_refused() -> None:
    found = results(GAINS)
    found[3] = result("curriculum", 1, values={"ufr": Measured(value=0.9, sample="other")})
    verdict = only(study(), found)
    assert verdict.decision == "cannot be decided"
    assert (
        "seed 1 of 'curriculum' was measured on other images than that of 'digits only'" in verdict.sentence
    )


def test_a_failed_seed_is_counted_and_told() -> None:
    found = [*results([*GAINS, 0.26, 0.24]), result("digits only", 8, values={"ufr": 0.2}),
             result("curriculum", 8, status="failed", reason="a loss is not a number")]  # fmt: skip
    verdict = only(study(9), found)
    assert verdict.decision == "decided for"
    assert (verdict.n, verdict.failed) == (8, 1)
    assert verdict.sentence.endswith(
        "1 of 9 pairs of seeds failed (seed 8, curriculum: failed: a loss is not a number)."
    )


def test_failures_that_could_have_turned_the_verdict_leave_it_open() -> None:
    found = [*results(GAINS), result("curriculum", 6, status="failed")]
    verdict = only(study(7), found)
    assert verdict.decision == "cannot be decided"
    assert (
        verdict.why
        == "1 of 7 pairs of seeds failed, and with it counted as a loss there would be no decision"
    )


def test_an_outcome_without_a_value_counts_as_failed_with_its_reason() -> None:
    found = results(GAINS[:2])
    found[1] = result("curriculum", 0, values={"ufr": Measured(reason="the slot is dead")})
    found[2] = result("digits only", 1, values={})
    verdict = only(study(2), found)
    assert verdict.decision == "cannot be decided"
    assert verdict.failed == 2
    assert "for example seed 0, curriculum: 'ufr' has no value: the slot is dead" in verdict.sentence


def test_claims_count_together() -> None:
    claims = [CLAIM, "curriculum > digits only on psnr"]
    found = [
        result(
            arm,
            seed,
            values={"ufr": 0.2 + gain * (arm == "curriculum"), "psnr": 20 + noise * (arm == "curriculum")},
        )
        for seed, (gain, noise) in enumerate(zip(GAINS, (1, -1, 2, -2, 1, -1), strict=True))
        for arm in ("digits only", "curriculum")
    ]
    first, second = judge(study(claims=claims), found)
    assert (first.p, first.p_holm) == (0.03125, 0.0625)
    assert not first.decided
    assert "p = .062 among 2 claims (Holm)" in first.sentence
    assert "6 seeds cannot decide 2 claims at .05 with a two-sided test; 7 can" in first.sentence
    assert second.decision == "not decided yet"
    assert second.p_holm == 1


def test_a_study_that_stops_is_decided_at_any_look() -> None:
    plan = study(20, stop_when_decided=True)
    looks = [only(plan, results(([*GAINS] * 3)[:n])) for n in range(1, 12)]
    assert [look.decided for look in looks].index(True) == 6, "with the seventh seed"
    assert looks[6].test == "sequential sign-flip test"
    assert looks[6].waiting == 13
    assert all(look.decided for look in looks[6:]), "and it stays so"
    assert looks[9].low is not None
    assert looks[9].low > 0
    assert "95 % interval at any time of looking" in looks[9].sentence


def test_seeds_that_arrive_early_wait_for_those_before_them() -> None:
    plan = study(20, stop_when_decided=True)
    found = [each for each in results([*GAINS, *GAINS]) if each.seed != 2]
    assert only(plan, found).seeds == (0, 1)
    assert only(plan, [*found, result("curriculum", 2, status="failed")]).seeds == (0, 1, *range(3, 12))


def test_a_claim_that_rests_on_bounds_needs_them_to_hold() -> None:
    plan = study(60, stop_when_decided=True, rests_on="bounds")
    rng = np.random.default_rng(0)
    verdict = only(plan, results(rng.normal(0.3, 0.02, 40).tolist()))
    assert verdict.decision == "decided for"
    assert verdict.test == "betting on bounded differences"
    outside = only(plan, results([0.3, 1.4]))
    assert outside.why == "'ufr' lies outside its bounds 0 to 1, on which the claim rests"


def test_seeds_added_to_a_fixed_plan_after_looking_rest_on_what_may_be_looked_at() -> None:
    plan = study(6).revised(seen=12, seeds=8)
    verdict = only(plan, results([*GAINS, 0.25, 0.25]))
    assert verdict.test == "sequential sign-flip test"
    assert verdict.decision == "decided for"
    assert verdict.sentence.endswith("The plan was changed after looking: 2 seeds added (6 before).")


def test_what_differs_and_was_not_said_stands_in_the_sentence() -> None:
    arms = [{"name": "digits only"}, {"name": "curriculum", "changes": {"tasks": {"x": {}}, "train": {"lr": 1}},
             "says": ["tasks"]}]  # fmt: skip
    assert (
        "'curriculum' differs from 'digits only' also in train.lr."
        in only(study(arms=arms), results(GAINS)).sentence
    )


def test_seeds_of_unlike_devices_and_settings_are_told() -> None:
    found = [each.model_copy(update={"facts": {"device": "cuda" if each.seed == 2 else "cpu"},
                                     "settings": "b" if each.seed == 3 and each.arm == "curriculum" else "a"})
             for each in results(GAINS)]  # fmt: skip
    sentence = only(study(), found).sentence
    assert (
        "device is not the same in all results: cpu (10), cuda (2); arms of a seed have the same." in sentence
    )
    assert "the seeds of 'curriculum' did not run with the same settings: 2 kinds." in sentence


def test_a_pair_of_unlike_devices_is_told() -> None:
    found = [each.model_copy(update={"facts": {"device": "cuda" if each.arm == "curriculum" else "cpu"}})
             for each in results(GAINS)]  # fmt: skip
    assert "device is not the same in all results: cpu (6), cuda (6)." in only(study(), found).sentence


def test_where_one_arm_alone_spreads_the_interval_is_wider_and_the_sentence_says_so() -> None:
    constant = [each.model_copy(update={"values": {"ufr": Measured(value=0.2, sample="grid")}})
                if each.arm == "digits only" else each for each in results(GAINS, base=0.0)]  # fmt: skip
    verdict = only(study(), constant)
    d = np.array(verdict.differences)
    half = 2 * 2.5706 * d.std(ddof=1) / np.sqrt(6)
    assert (verdict.low, verdict.high) == pytest.approx((d.mean() - half, d.mean() + half), rel=1e-3)
    assert "(95 % t interval, doubled, " in verdict.sentence
    assert verdict.sentence.endswith(
        "'curriculum' spreads over seeds and 'digits only' does not: their difference may be skewed, so its "
        "interval is twice as wide, and p is not exact."
    )
    other = [each.model_copy(update={"values": {"ufr": Measured(value=0.001 * each.seed, sample="grid")}})
             if each.arm == "curriculum" else each for each in results(GAINS)]  # fmt: skip
    assert (
        "'digits only' spreads 72 times as much over seeds as 'curriculum'" in only(study(), other).sentence
    )
    assert "doubled" not in only(study(), results(GAINS)).sentence


def test_nothing_seen_is_nothing_decided() -> None:
    verdict = only(study(), [])
    assert verdict.decision == "not decided yet"
    assert verdict.why.startswith("0 of 6 pairs of seeds are there")
    same = only(study(), results([0.0] * 6))
    assert same.decision == "not decided yet"
    assert same.p == 1
    assert same.more is None


def test_a_verdict_is_plain_json() -> None:
    verdict = only(study(3, stop_when_decided=True), results([0.1, 0.2, 0.3]))
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert verdict.low is None, "three seeds bound nothing"


def test_a_failure_in_a_study_that_stops_asks_for_more_seeds_while_there_are_some() -> None:
    plan = study(20, stop_when_decided=True)
    found = [each for each in results([*GAINS, 0.25, 0.24]) if each.seed != 1]
    found.append(result("curriculum", 1, status="failed"))
    verdict = only(plan, found)
    assert verdict.decision == "not decided yet"
    assert "with it counted as a loss there would be no decision" in verdict.sentence
    assert not settled(plan, [verdict])
    more = results([0.25] * 20)
    later = only(plan, [*[each for each in more if each.seed != 1], found[-1]])
    assert later.decision == "decided for"
    assert later.failed == 1
    assert settled(plan, [later])
    assert not settled(study(20), [later])


def test_seeds_that_are_missing_to_a_fixed_plan_are_counted_for_the_test_that_they_lead_to() -> None:
    seen = (0.3, -0.1, 0.4, 0.2, -0.2, 0.5, 0.1, -0.1)
    verdict = only(study(8), results(seen))
    assert verdict.decision == "not decided yet"
    assert verdict.more == more_seeds(seen, sequential=Spending())
    fixed = more_seeds(seen)
    assert fixed is not None
    assert verdict.more is not None
    assert verdict.more > fixed, "another plan of as many seeds would have done with fewer"
    bounds = only(study(8, rests_on="bounds"), results([*seen[:-1], -1.2]))
    assert bounds.decision == "not decided yet", "values outside of bounds that nothing rests on"


def test_too_few_seeds_for_a_test_that_is_looked_at_are_told() -> None:
    claims = [CLAIM, "curriculum > digits only on psnr", "curriculum < digits only on psnr"]
    plan = study(7, claims=claims, stop_when_decided=True)
    assert plan.warnings() == ["7 seeds cannot decide 3 claims at .05 with a two-sided test; 9 can."]
    assert study(9, claims=claims, stop_when_decided=True).warnings() == []
    assert study(7, claims=claims).warnings() == []
    short = only(study(5, stop_when_decided=True), results(GAINS[:5]))
    assert short.why == "5 seeds cannot decide at .05 with a two-sided test; 7 can"


def test_a_sentence_with_a_path_of_windows_is_plain_text_in_latex() -> None:
    from acc.studies import report

    failed = result("curriculum", 6, status="failed", reason="no file C:\\data_1^2\nin {a}")
    said = report.latex(study(7), [*results(GAINS), failed])
    assert r"no file C:\textbackslash{}data\_1\textasciicircum{}2 in \{a\}" in said
