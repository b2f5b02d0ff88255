"""The list of experiments: a sketch of the tree, the parts of the latent, and whole names."""

from __future__ import annotations

from typing import Any

from django.test import Client

from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.apps.trees.pages.listing import experiment_rows, sketch
from accsite.tests.markup import folded


def test_a_long_name_keeps_its_end_and_is_whole_in_its_tooltip(page: Client, branch: Branch) -> None:
    name = "a name of which the end is what tells it apart, seed 12"
    type(branch.experiment).objects.update(name=name)
    text = folded(page.get("/experiments/"))
    assert f'title="{name}"' in text
    halves = "".join(f'<span aria-hidden="true">{half}</span>' for half in (name[:-10], name[-10:]))
    assert f'<span class="vh">{name}</span>{halves}' in text


def test_a_sketch_has_a_line_for_each_branch_from_its_fork_to_its_head(branch: Branch, user: Any) -> None:
    early = rows.make_checkpoint(branch, step=100)
    late = rows.make_checkpoint(branch, step=200)
    branch.head = late
    branch.save()
    side = Branch.objects.create(
        experiment=branch.experiment, name="side", slug="side", forked_from=early, head=early
    )
    bare = Branch.objects.create(experiment=branch.experiment, name="bare", slug="bare")
    main_line, side_line = sketch([branch, side, bare], {side.pk})
    assert (main_line.start, main_line.end) == (5, 145)
    assert (side_line.start, side_line.from_y) == (75, main_line.y)
    assert (main_line.live, side_line.live) == (False, True)
    assert side_line.path.startswith(f"M75.0 {main_line.y:.1f}V")
    (row,) = experiment_rows(user)
    assert [line.name for line in row.lines] == ["main", "side"]
