"""The plan of a study: what is refused, what is a change, and that it is the same after a trip through JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acc.errors import InvalidInput
from acc.specs import parse
from acc.studies import Claim, Study
from acc.studies.plan import merge, patch, paths, plain

SETTINGS = {"tasks": {"kl": {"weight": 0.002}, "digit": {"weight": 1}}, "train": {"lr": 0.002, "steps": 10}}
CURRICULUM = {"tasks": {"thickness": {"weight": 1}}}


def study(**fields: Any) -> Study:
    made: Study = parse(
        Study,
        {
            "name": "Curriculum",
            "settings": SETTINGS,
            "arms": [{"name": "digits only"}, {"name": "curriculum", "changes": CURRICULUM}],
            "seeds": 5,
            "outcomes": [{"name": "ufr"}, {"name": "psnr", "unit": "dB"}],
            "claims": ["curriculum > digits only on ufr by at least .05"],
            **fields,
        },
    )
    return made


def test_a_claim_is_written_as_it_is_read() -> None:
    text = "curriculum > digits only on ufr by at least .05"
    claim = Claim.parse(text)
    assert (claim.first, claim.second, claim.outcome, claim.by) == ("curriculum", "digits only", "ufr", 0.05)
    assert str(claim) == text
    assert str(Claim.parse("a  <  b on mean loss")) == "a < b on mean loss"
    assert Claim.parse("a > b on accuracy by at least -.02").by == -0.02
    assert Claim.parse("trained on digits > trained on glyphs on ufr").second == "trained on glyphs"


@given(st.floats(-1e6, 1e6), st.sampled_from("<>"))
def test_every_margin_survives_being_written(by: float, sign: str) -> None:
    claim = Claim(first="a b", second="c", outcome="ufr", sign=sign, by=by)
    assert Claim.parse(str(claim)) == claim
    assert float(plain(by)) == by


@pytest.mark.parametrize("text", ["", "a > b", "a b on ufr", "a > b on ufr by at least some", "> b on ufr"])
def test_what_is_no_claim_is_refused_with_the_form_of_one(text: str) -> None:
    with pytest.raises(InvalidInput, match="write: arm > other arm on outcome"):
        Claim.parse(text)


def test_a_claim_about_one_arm_alone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'a' is compared with itself"):
        Claim.parse("a > a on ufr")


def test_a_plan_is_the_same_after_a_trip_through_json() -> None:
    first = study(seeds=(3, 1, 4), stop_when_decided=True)
    again = Study.from_json(first.to_json())
    assert again == first
    assert again.sha256 == first.sha256
    changed = first.revised(seen=2, seeds=(3, 1, 4, 5))
    assert Study.from_json(changed.to_json()) == changed
    with pytest.raises(InvalidInput, match="this is no JSON"):
        Study.from_json("{")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"claims": ["a > b on ufr"] * 101}, "101 claims are refused; at most 100 are allowed"),
        ({"seeds": 0}, "0 seeds are refused; 1 to 1000"),
        ({"seeds": (1, 2, 1)}, "seed 1 stands there twice"),
        ({"seeds": (-1,)}, "seed -1 is refused"),
        ({"claims": ["curriculum > digits on ufr"]}, "no arm is called 'digits'; there are: digits only, curriculum"),
        ({"claims": ["curriculum > digits only on mig"]}, "no outcome is called 'mig'; there are: ufr, psnr"),
        ({"claims": ["curriculum > digits only on ufr"] * 2}, "is claimed twice"),
        ({"claims": ["better"]}, "'better' is not a claim; write"),
        ({"arms": [{"name": "a"}, {"name": "A"}]}, "'A' stands there twice"),
        ({"arms": [{"name": "a", "changes": {"lr": 1}}]}, "the first arm, 'a', has no changes; put lr into settings"),
        ({"settings": {"lr": float("nan")}}, "these settings are no JSON"),
        ({"outcomes": [{"name": "ufr", "low": 1, "high": 0}]}, "low 1 is not below high 0"),
        ({"outcomes": [{"name": "ufr", "low": 1}]}, "give low and high, or neither"),
        (
            {
                "claims": ["curriculum > digits only on psnr"],
                "stop_when_decided": True,
                "rests_on": "bounds",
            },
            "rests on bounds, and none are known of 'psnr'; give its low and high",
        ),
        ({"spped": 3}, "'spped' is not a field here"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_answered_is_refused_with_a_sentence(
    fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence.replace("(", r"\(").replace("[", r"\[")):
        study(**fields)


def test_the_hash_is_that_of_what_could_change_an_answer() -> None:
    first = study()
    assert study(name="Other", question="Why?").sha256 == first.sha256
    others: list[dict[str, Any]] = [
        {"seeds": 6},
        {"alpha": 0.01},
        {"claims": []},
        {"stop_when_decided": True},
        {"settings": {}},
    ]
    for fields in others:
        assert study(**fields).sha256 != first.sha256


def test_seeds_are_run_in_turn_over_the_arms() -> None:
    one, other = "digits only", "curriculum"
    assert list(study(seeds=3).order()) == [
        *((one, 0), (other, 0)),
        *((other, 1), (one, 1)),
        *((one, 2), (other, 2)),
    ]


def test_an_arm_is_a_difference_from_the_first() -> None:
    assert study().settings_of("curriculum") == merge(SETTINGS, CURRICULUM)
    assert study().settings_of("digits only") == SETTINGS
    with pytest.raises(InvalidInput, match="no arm is called 'x'; there are: digits only, curriculum"):
        study().settings_of("x")


plain_json = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text("ab", min_size=1, max_size=2), inner, max_size=3),
    max_leaves=8,
)
an_object = st.dictionaries(st.text("ab", min_size=1, max_size=2), plain_json, max_size=3)


@given(an_object, an_object)
def test_a_patch_turns_one_into_the_other(first: dict[str, Any], other: dict[str, Any]) -> None:
    assert merge(first, patch(first, other)) == other
    assert paths(patch(first, first)) == []


def test_what_an_arm_changes_and_did_not_say_is_named() -> None:
    changes = {**CURRICULUM, "train": {"lr": 0.001}}
    arms = [{"name": "digits only"}, {"name": "curriculum", "changes": changes, "says": ["tasks"]}]
    assert "'curriculum' differs from 'digits only' also in train.lr." in study(arms=arms).warnings()
    silent = study(arms=[arms[0], {"name": "curriculum", "changes": changes}], seeds=9)
    assert silent.warnings() == []


def test_a_plan_says_beforehand_that_it_cannot_decide() -> None:
    assert study(seeds=5).warnings() == ["5 seeds cannot decide at .05 with a two-sided test; 6 can."]
    claims = ["curriculum > digits only on ufr", "curriculum > digits only on psnr by at least -1"]
    assert study(seeds=6, claims=claims).warnings() == [
        "6 seeds cannot decide 2 claims at .05 with a two-sided test; 7 can."
    ]
    assert study(seeds=6).warnings() == []


def test_a_change_after_looking_is_told_for_ever() -> None:
    first = study()
    before = first.revised(seen=0, seeds=6)
    assert not before.changed_after_looking
    assert len(before.changes) == 1
    after = before.revised(seen=3, claims=["curriculum > digits only on psnr"])
    assert after.changed_after_looking
    assert after.changes[-1].what == (
        "claim 'curriculum > digits only on psnr' added",
        "claim 'curriculum > digits only on ufr by at least .05' taken away",
    )
    back = after.revised(seen=3, claims=[str(claim) for claim in before.claims])
    assert back.changed_after_looking
    assert len(back.changes) == 3
    assert back.sha256 == before.sha256
    assert first.revised(seen=9, name="Other").changes == (), "another name is no other plan"


def test_seeds_may_be_added_to_a_study_that_stops_when_it_is_decided() -> None:
    stops = study(stop_when_decided=True).revised(seen=8, seeds=9)
    assert not stops.changed_after_looking
    assert stops.changes[0].what == ("4 seeds added (5 before)",)
    fixed = study().revised(seen=8, seeds=9)
    assert fixed.changed_after_looking
    assert fixed.may_be_looked_at
    fewer = study(stop_when_decided=True).revised(seen=8, seeds=(0, 1, 4))
    assert fewer.changed_after_looking
    assert fewer.changes[0].what == ("2 seeds taken away (2, 3)",)


def test_a_change_cannot_be_left_out_of_a_kept_plan() -> None:
    kept = study().revised(seen=3, seeds=6).revised(seen=4, seeds=7).model_dump(mode="json")
    with pytest.raises(
        InvalidInput, match="a change of this plan is missing|not the plan that its last change"
    ):
        parse(Study, {**kept, "changes": kept["changes"][:1]})
    with pytest.raises(InvalidInput, match="not the plan that its last change led to"):
        parse(Study, {**kept, "seeds": [0, 1]})
