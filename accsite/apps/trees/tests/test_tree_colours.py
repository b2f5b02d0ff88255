"""The tree's page shows the stored values, and colours them by rank, so that one far away does not flatten the rest."""

from __future__ import annotations

from typing import Any

from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.tests import rows
from accsite.apps.trees import selectors
from accsite.tests.modules import evaluate

SCRIPT = """
const { decode, quantiles } = await load('tree_plan');
const nodes = decode(args[0]);
return { nodes: nodes.map(({ value, level, best }) => [value, level, best ?? false]), ends: quantiles(nodes) };
"""


def shown(branch: Branch, *losses: float | None) -> Any:
    """Return what the page makes of a tree whose checkpoints have these losses."""
    for step, loss in enumerate(losses):
        rows.make_checkpoint(branch, step=step, losses={} if loss is None else {"total": loss})
    return evaluate(SCRIPT, selectors.compact(selectors.tree(branch.experiment)))


def test_values_arrive_as_stored_and_one_that_diverged_takes_no_colour_from_the_rest(branch: Branch) -> None:
    losses = [0.34612345678901234, 380.0, 0.245, 5.5e7, None, 0.0966]
    found = shown(branch, *losses)
    stored = list(Checkpoint.objects.order_by("pk").values_list("losses__total", flat=True))
    assert stored == losses
    assert [value for value, _, _ in found["nodes"]] == losses
    assert [level for _, level, _ in found["nodes"]] == [0.5, 0.75, 0.25, 1, None, 0]
    assert [best for _, _, best in found["nodes"]] == [False] * 5 + [True]
    assert found["ends"] == [0.0966, 0.34612345678901234, 5.5e7]


def test_equal_values_have_one_colour_and_none_of_them_is_best(branch: Branch) -> None:
    found = shown(branch, 0.5, 0.5, 0.5, 0.5, 0.5)
    assert found["nodes"] == [[0.5, 0.5, False]] * 5


def test_a_tree_without_values_has_no_colours(branch: Branch) -> None:
    found = shown(branch, None, None)
    assert found == {"nodes": [[None, None, False]] * 2, "ends": None}
