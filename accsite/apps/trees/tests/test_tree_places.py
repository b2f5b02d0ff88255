"""Where the nodes of a tree are drawn: steps across, a lane for each branch, and room for every mark."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.apps.trees import selectors
from accsite.tests.modules import evaluate

SCRIPT = """
const { decode, fold, place } = await load('tree_plan');
const [wire, options] = args;
const nodes = decode(wire);
const items = fold(nodes, { all: true, open: new Set(), chosen: 0 });
const { lanes, width, ticks } = place(items, { branches: wire.branches, ...options });
return {
    width,
    ticks: ticks.map(({ x, words }) => [Math.round(x), words]),
    items: items.map(({ node, x, lane }) => [node.step, Math.round(x), lane]),
    lanes: lanes.map(({ branch, idle }) => [branch.name, idle]),
};
"""
ROOM = {"width": 1040, "left": 20, "right": 20}


def placed(branch: Branch, **options: Any) -> Any:
    """Return how the tree of a branch is placed."""
    return evaluate(SCRIPT, selectors.compact(selectors.tree(branch.experiment)), {**ROOM, **options})


def line(branch: Branch, *steps: int) -> list[Any]:
    """Return checkpoints of one line, each grown from the one before it."""
    made: list[Any] = []
    for step in steps:
        job = rows.make_job(branch, state="SUCCEEDED")
        made.append(rows.make_checkpoint(branch, job, parent=made[-1] if made else None, step=step))
    return made


def test_across_is_the_step_where_there_is_room(branch: Branch) -> None:
    line(branch, 100, 500, 1000)
    found = placed(branch)
    assert found["items"] == [[100, 120, 0], [500, 520, 0], [1000, 1020, 0]]
    assert found["width"] == 1040
    assert found["ticks"][:3] == [[20, "0"], [120, "100"], [220, "200"]]


def test_marks_that_lie_close_together_are_kept_apart_and_the_axis_goes_along(branch: Branch) -> None:
    line(branch, 1, 2, 3, 1000)
    (_, one, _), (_, two, _), (_, three, _), (_, last, _) = placed(branch)["items"]
    assert two - one >= 22
    assert three - two >= 22
    assert last == 1020
    assert placed(branch)["width"] == 1040


def test_a_tree_that_cannot_fit_is_wider_than_its_place(branch: Branch) -> None:
    line(branch, *range(1, 60))
    found = placed(branch)
    assert found["width"] > 1040
    places = [x for _, x, _ in found["items"]]
    assert places == sorted(places)
    assert min(b - a for a, b in pairwise(places)) >= 22


def test_across_may_be_how_many_checkpoints_lie_before(branch: Branch) -> None:
    line(branch, 1, 10, 1000)
    found = placed(branch, by="depth")
    (_, first, _), (_, second, _), (_, third, _) = found["items"]
    assert abs((second - first) - (third - second)) <= 1
    assert [words for _, words in found["ticks"]] == ["0", "1", "2", "3"]


def test_each_branch_has_a_lane_and_one_without_a_checkpoint_lies_where_it_begins(branch: Branch) -> None:
    first, last = line(branch, 100, 200)
    side = Branch.objects.create(experiment=branch.experiment, name="side", slug="side", forked_from=first)
    rows.make_checkpoint(side, rows.make_job(side, state="SUCCEEDED"), parent=first, step=150)
    Branch.objects.create(experiment=branch.experiment, name="idle", slug="idle", forked_from=last, head=last)
    found = placed(branch)
    assert found["lanes"] == [["main", False], ["idle", True], ["side", False]]
    assert [lane for _, _, lane in found["items"]] == [0, 0, 2]


def test_by_size_colours_follow_the_logarithm_and_the_outermost_are_alike(branch: Branch) -> None:
    for step, loss in enumerate([1.0, 10.0, 100.0, 1000.0, 1e9]):
        rows.make_checkpoint(branch, step=step, losses={"total": loss})
    script = """
    const { decode } = await load('tree_plan');
    return decode(args[0], 'size').map(({ level }) => level);
    """
    low, second, third, fourth, high = evaluate(script, selectors.compact(selectors.tree(branch.experiment)))
    assert (low, high) == (0, 1)
    assert 0 < second < third < fourth < 1
    assert abs((third - second) - (fourth - third)) < 1e-9
