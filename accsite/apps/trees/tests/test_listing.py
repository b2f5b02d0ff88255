"""The list of experiments: a picture, a sketch of the tree, the parts of the latent, and whole names."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accsite.apps.evaluation.models import Artifact, Evaluation
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.tests import rows
from accsite.apps.trees.pages.listing import experiment_rows, sketch
from accsite.tests.markup import folded


def drawn(checkpoint: Checkpoint) -> Artifact:
    """Return a picture of reconstructions of a checkpoint."""
    evaluation = Evaluation.objects.create(branch=checkpoint.branch, checkpoint=checkpoint, step=10)
    meta = {"width": 256, "height": 96, "tile": [32, 32], "columns": 8, "of": "held-out images"}
    return Artifact.objects.create(
        evaluation=evaluation, kind="reconstructions", name="digits", file="x", sha256="0", meta=meta
    )


def test_an_experiment_is_listed_with_its_newest_picture_and_the_parts_of_its_latent(
    page: Client, branch: Branch
) -> None:
    checkpoint = rows.make_checkpoint(branch, losses={"total": 0.5})
    drawn(checkpoint)
    newest = drawn(checkpoint)
    text = folded(page.get("/experiments/"))
    assert f'<image href="/evaluate/artifacts/{newest.pk}/" width="256" height="96"/>' in text
    assert 'viewBox="0 0 96 64"' in text
    assert 'aria-label="digit 6, free 10"' in text
    assert "<b>0.5</b>" in text


def test_a_long_name_keeps_its_end_and_is_whole_in_its_tooltip(page: Client, branch: Branch) -> None:
    name = "a name of which the end is what tells it apart, seed 12"
    type(branch.experiment).objects.update(name=name)
    text = folded(page.get("/experiments/"))
    assert f'title="{name}"' in text
    assert f"<span>{name[:-10]}</span><span>{name[-10:]}</span>" in text


def test_a_list_of_many_takes_no_more_queries_than_one_of_few(
    page: Client, branch: Branch, user: Any
) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert page.get("/experiments/").status_code == 200
        return len(queries)

    def grow(main: Branch) -> None:
        head = rows.make_checkpoint(main, rows.make_job(main, state="RUNNING"))
        side = Branch.objects.create(
            experiment=main.experiment, name="side", slug="side", forked_from=head, head=head
        )
        Branch.objects.filter(pk=main.pk).update(head=head)
        drawn(rows.make_checkpoint(side, rows.make_job(side, state="SUCCEEDED")))

    grow(branch)
    few = asked()
    for number in range(5):
        grow(rows.make_branch(user, f"other-{number}"))
    assert asked() == few


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
