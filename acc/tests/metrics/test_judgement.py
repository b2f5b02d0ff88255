"""From skills to unified, factored and UFR: arithmetic on small tables."""

import numpy as np
import pytest

from acc.evaluation.metrics.judgement import HOMELESS, foreign_skills, judge, match

NAN = np.nan


def skills(views: int, concepts: int, value: float) -> np.ndarray:
    table = np.full((1, views, concepts, concepts), value)
    table[:, :, range(concepts), range(concepts)] = NAN
    return table


def test_a_leak_costs_its_share_of_what_can_be_read_at_all():
    within, across = skills(4, 2, 0.0), skills(4, 2, 0.9)
    within[0, 0], within[0, 1, 0, 1], within[0, 2, 1, 0] = skills(1, 2, 0.8)[0, 0], 0.8, 0.8
    within[0, 2, 0, 1] = 0.2  # concept 0 read from concept 1's group at fixed concept 1
    judged = judge(within, across, [0, 1], 3)
    assert judged.leak[0] == pytest.approx([0.2, 0.0])
    assert judged.factored[0] == pytest.approx([1 - 0.2 / 0.8, 1])
    assert judged.unified[0] == pytest.approx([0.9, 0.9])
    assert judged.ufr[0] == pytest.approx((0.9 * 0.75 + 0.9) / 2)
    assert judged.leak_from == (1, 0)


def test_the_owner_of_a_foreign_group_is_held_fixed():
    within = skills(3, 3, 0.1)
    within[0, 2, 0, 1], within[0, 2, 0, 2] = 0.3, 0.7
    assert foreign_skills(within, [0, 1, None], 0, 1) == pytest.approx(0.3)
    assert foreign_skills(within, [0, None, None], 0, 1) == pytest.approx(0.5)  # no owner: all contexts
    assert foreign_skills(within, [0, 1, 1], 0, 1) == pytest.approx(0.3)  # two owners: the strictest


def test_an_owner_without_usable_levels_falls_back_to_all_contexts():
    within = skills(3, 3, 0.1)
    within[0, 2, 0, 1], within[0, 2, 0, 2] = NAN, 0.7
    assert foreign_skills(within, [0, 1, None], 0, 1) == pytest.approx(0.7)


def test_a_concept_that_its_own_group_cannot_read_is_not_factored():
    within, across = skills(3, 2, 0.1), skills(3, 2, 1.0)
    judged = judge(within, across, [0, 1], 2)
    assert judged.factored[0] == pytest.approx([0, 0])
    assert judged.ufr[0] == 0


def test_negative_transfer_counts_as_none():
    judged = judge(skills(3, 2, 0.9), skills(3, 2, -1.0), [0, 1], 2)
    assert judged.unified[0] == pytest.approx([0, 0])


def test_concepts_without_a_declared_group_are_left_out_and_homeless_ones_score_zero():
    within, across = skills(3, 3, 0.0), skills(3, 3, 1.0)
    within[0, 0], within[0, 1, 0] = 1.0, 1.0
    assert judge(within, across, [0, None, None], 2).ufr[0] == pytest.approx(1)
    assert judge(within, across, [0, HOMELESS, None], 2).ufr[0] == pytest.approx(0.5)


def test_matching_finds_the_best_assignment_one_to_one():
    within = skills(4, 2, 0.0)[0]
    within[1, 0, 1], within[1, 1, 0] = 0.9, 0.8
    within[2, 0, 1], within[2, 1, 0] = 0.8, 0.1
    assert match(within, 3) == [1, 0]  # 0.8 + 0.8 beats 0.9 + 0.1


def test_matching_leaves_concepts_over_when_groups_are_few():
    within = skills(2, 2, 0.0)[0]
    within[1, 0, 1], within[1, 1, 0] = 0.2, 0.9
    assert match(within, 1) == [HOMELESS, 0]
