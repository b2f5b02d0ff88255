"""The sentence on top of a UFR matrix says what its numbers say, and nothing else."""

from __future__ import annotations

from typing import Any

from accsite.apps.evaluation.pages import matrix, sentences
from accsite.apps.evaluation.pages.bars import axis
from accsite.apps.evaluation.pages.hues import of_spec
from accsite.apps.evaluation.pages.matrix import Cell

SPEC: dict[str, Any] = {
    "model": {
        "factor_groups": [{"name": "digit", "start": 0, "end": 4}, {"name": "slant", "start": 4, "end": 8}]
    },
    "tasks": [
        {"name": "Reconstruction", "factor": None, "latent_slice": None},
        {"name": "Which digit", "factor": "digit"},
        {"name": "Old slant", "factor": "slant", "enabled": False},
    ],
}


def holding(found: dict[str, Any], **skills: tuple[str, float | None]) -> dict[str, Any]:
    """Return a result with what the groups hold of their own concepts: concept -> (group, skill within)."""
    names, groups = list(skills), [group for group, _ in skills.values()]
    found["leakage"] = {
        "groups": groups,
        "concepts": names,
        "own": {name: group for name, (group, _) in skills.items()},
        "within": [
            [skills[name][1] if at == place else 0.9 for place, name in enumerate(names)]
            for at in range(len(names))
        ],
    }
    return found


def result(**leaks: tuple[str, float | None, float | None]) -> dict[str, Any]:
    """Return a result of which only the leaks are known: concept -> (from, skill, lower bound)."""
    found = {
        concept: {"value": skill, "low": low, "chance": 0.02, "detail": {"from": group}}
        for concept, (group, skill, low) in leaks.items()
    }
    return {"sample": "one", "ufr": {"leak": found, "concept": {}, "unified": {}, "factored": {}}}


def test_the_greatest_leak_comes_first_and_what_keeps_its_place_is_named() -> None:
    found = result(slant=("free", 0.15, 0.1), thickness=("free", 0.42, 0.3), digit=("slant", 0.05, 0.01))
    assert (
        sentences.summary(found, SPEC)
        == "Thickness leaks into free, 0.42; slant leaks into free, 0.15; digit does not leak."
    )


def test_what_may_be_chance_is_not_called_a_leak() -> None:
    assert (
        sentences.summary(result(slant=("free", 0.04, 0.01), digit=("free", 0.05, 0.0)), SPEC)
        == "Nothing leaks."
    )
    assert (
        sentences.summary(result(slant=("free", 0.4, 0.01), digit=("free", 0.05, 0.0)), SPEC)
        == "Digit does not leak."
    )
    assert sentences.leaks(result(slant=("free", 0.1, 0.09))) == []


def test_what_is_between_the_two_is_not_called_quiet_either() -> None:
    """A leak of 0.4 that may be chance is no proof that nothing leaks from there."""
    found = result(slant=("free", 0.4, 0.01), digit=("free", 0.5, 0.4))
    assert sentences.summary(found, SPEC) == "Digit leaks into free, 0.50."


def test_nothing_is_said_of_what_was_not_measured() -> None:
    assert sentences.summary(result(slant=("free", None, None)), SPEC) == ""


def test_the_lowest_concept_is_named_with_its_parts() -> None:
    found = result(slant=("free", 0.5, 0.4), digit=("free", 0.05, 0.0))
    found["ufr"] |= {
        "concept": {"slant": {"value": 0.2}, "digit": {"value": 0.9}},
        "unified": {"slant": {"value": 0.8}, "digit": {"value": 0.95}},
        "factored": {"slant": {"value": 0.25}, "digit": {"value": 0.95}},
    }
    assert sentences.summary(found, SPEC).endswith("Lowest is slant: unified 0.80, factored 0.25.")
    found["ufr"]["concept"]["digit"]["value"] = 0.2  # of two that are alike none is the lowest
    assert "Lowest" not in sentences.summary(found, SPEC)


def test_a_difference_tells_what_came_and_what_went() -> None:
    a = result(slant=("free", 0.5, 0.4), digit=("free", 0.02, 0.0), size=("free", 0.3, 0.2))
    b = result(slant=("free", 0.05, 0.0), digit=("slant", 0.3, 0.2), size=("free", 0.31, 0.2))
    assert sentences.difference(a, b, "B") == "Slant no longer leaks in B; in B digit leaks into slant, 0.30."
    assert sentences.difference(a, a, "B") == ""


def test_what_may_be_chance_has_neither_come_nor_gone() -> None:
    a, b = result(slant=("free", 0.5, 0.4)), result(slant=("free", 0.4, 0.01))
    assert sentences.difference(a, b, "B") == ""
    assert sentences.difference(b, a, "B") == ""


def test_more_or_less_is_what_lies_beyond_the_noise_of_the_same_images() -> None:
    a, b = result(slant=("free", 0.5, 0.4)), result(slant=("free", 0.6, 0.5))
    for found, value in ((a, 0.5), (b, 0.6)):
        found["ufr"]["leak"]["slant"]["without"] = [value + 0.001 * (n % 3) * value for n in range(20)]
    assert sentences.difference(a, b, "B") == "Slant leaks more, 0.50 in A and 0.60 in B."
    assert sentences.difference(b, a, "B") == "Slant leaks less, 0.60 in A and 0.50 in B."
    b["ufr"]["leak"]["slant"]["without"] = [0.6 + 0.1 * (-1) ** n for n in range(20)]
    assert sentences.difference(a, b, "B") == ""
    b["sample"] = "other images"
    assert sentences.difference(a, b, "B") == ""


def test_a_cell_is_coloured_round_its_own_chance() -> None:
    assert [Cell(value, chance=0.5).shade for value in (0.5, 0.75, 1.0, 0.4, 0.0)] == [
        "p0",
        "p5",
        "p10",
        "n2",
        "n5",
    ]
    assert Cell(None).shade == ""
    assert Cell(1.01).shade == "p10"


def test_a_group_has_the_hue_of_its_place_in_the_model() -> None:
    groups = [{"name": f"g{place}", "start": 2 * place, "end": 2 * place + 2} for place in range(9)]
    found = of_spec({"model": {"factor_groups": list(reversed(groups))}})
    assert [found[f"g{place}"] for place in range(9)] == [*range(8), 0]
    assert of_spec({}) == {}


def test_an_axis_leaves_out_what_is_no_number_and_holds_all_that_is() -> None:
    found = axis([0.0, None, float("nan"), 2.0])
    assert (found.low, found.high) == (0.0, 2.0)
    bar = found.bar(1.0, 0.0, 2.0, trivial=None)
    assert bar is not None
    assert (bar.value, bar.trivial) == (50.0, None)
    assert bar.low is not None
    assert bar.high is not None
    assert 0 < bar.low < bar.value < bar.high < 100
    assert found.bar(None) is None
    assert axis([]).at(0.5) == 50.0


def test_a_group_that_does_not_hold_its_concept_comes_first_with_the_reason() -> None:
    found = holding(
        result(slant=("free", 0.05, 0.0), digit=("free", 0.3, 0.2)),
        slant=("slant", 0.07),
        digit=("digit", 0.9),
    )
    assert sentences.summary(found, SPEC) == (
        "Group slant does not hold slant (0.07): no task reads only this group. Digit leaks into free, 0.30."
    )


def test_what_is_read_from_elsewhere_alone_is_no_leak_and_what_is_held_by_none_does_not_keep_its_place() -> (
    None
):
    found = holding(
        result(slant=("free", 0.8, 0.7), digit=("free", 0.05, 0.0)),
        slant=("slant", 0.07),
        digit=("digit", 0.05),
    )
    assert sentences.summary(found, SPEC) == (
        "Group digit does not hold digit (0.05), although task Which digit reads it. "
        "Group slant does not hold slant (0.07): no task reads only this group; slant is read from free, 0.80."
    )


def test_a_task_on_a_part_of_a_group_reads_it_and_one_on_more_than_it_does_not() -> None:
    found = holding(result(slant=("free", 0.05, 0.0)), slant=("slant", 0.07))
    for part, said in (((5, 7), "although task Part reads it"), ((3, 7), "no task reads only this group")):
        spec = {**SPEC, "tasks": [{"name": "Part", "factor": None, "latent_slice": part}]}
        assert said in sentences.summary(found, spec)


def test_what_is_held_is_not_said_to_be_missing() -> None:
    assert sentences.unheld(holding(result(slant=("free", 0.05, 0.0)), slant=("slant", 0.11)), SPEC) == []
    assert sentences.unheld(holding(result(slant=("free", 0.05, 0.0)), slant=("slant", None)), SPEC) == []


def test_a_difference_tells_which_group_holds_its_concept_in_one_alone() -> None:
    a = holding(result(slant=("free", 0.5, 0.4)), slant=("slant", 0.8))
    b = holding(result(slant=("free", 0.05, 0.0)), slant=("slant", 0.05))
    assert sentences.difference(a, b, "B") == "In B group slant does not hold slant."
    assert sentences.difference(b, a, "B").startswith("Only in B group slant holds slant;")


def test_numbers_from_0_to_1_lie_on_that_axis_and_longer_only_where_one_lies_outside() -> None:
    inside, outside = axis([0.2, 0.3], unit=True), axis([-0.4, None, 0.3], unit=True)
    assert (inside.low, inside.high, outside.low, outside.high) == (0, 1, -0.4, 1)
    bar = inside.bar(0.5)
    assert bar is not None
    assert bar.ends is not None
    assert bar.value == sum(bar.ends) / 2
    free = axis([0.2, 0.3]).bar(0.2)
    assert free is not None
    assert free.ends is None


def test_ufr_is_judged_by_chance_alone() -> None:
    """No threshold of it has an honest basis, so it is never called good."""

    def told(value: float, low: float) -> dict[str, str]:
        detail = {"chance_highest": 0.03, "permutations": 20}
        score = {"value": value, "low": low, "high": value + 0.05, "chance": 0.01, "detail": detail}
        return matrix.by_chance({"ufr": {"value": score}})

    assert told(0.9, 0.85) == {
        "grade": "better than trivial",
        "words": "better than chance",
        "told": "chance gives 0.01, at most 0.03 in 20 shuffles of the labels",
    }
    assert told(0.03, -0.01)["words"] == "unclear"
    assert told(0.0, -0.05)["words"] == "no better than chance"
    assert matrix.by_chance({"ufr": {"value": {"value": 0.5, "chance": None}}}) == {}


def test_what_can_be_read_from_where_is_coloured_round_the_mean_chance_of_its_contexts() -> None:
    found = {
        "ufr": {
            "views": ["*", "slant"],
            "concepts": ["digit", "slant"],
            "skills": {"chance_within": [[[None, 0.0], [0.0, None]], [[None, 0.2], [-0.1, None]]]},
        },
        "leakage": {
            "groups": ["slant"],
            "concepts": ["digit", "slant"],
            "own": {"slant": "slant"},
            "within": [[0.2, 0.5]],
            "reason": "",
        },
    }
    ((_, cells),) = matrix.leakage(found)
    assert [(cell.chance, cell.shade, home) for cell, home in cells] == [
        (0.2, "p0", False),
        (-0.1, "p5", True),
    ]
