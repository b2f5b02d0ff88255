"""Over the lines of a tree stands what a checkpoint has that its parent has not, in a few words."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.tests import rows
from accsite.apps.trees import selectors
from accsite.apps.trees.selectors import edges
from accsite.apps.trees.selectors.edges import phrases

NAMES = {"kl": "KL", "digit": "Digit"}
TASK = {"key": "digit", "name": "Digit", "task_class": "ClassificationTask"}


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ({"train": {"lr": [0.001, 0.0001]}}, ["lr / 10"]),
        ({"train": {"lr": [0.001, 0.002]}}, ["lr × 2"]),  # noqa: RUF001
        ({"train": {"lr": [0.002, 0.005]}}, ["lr 0.002 → 0.005"]),
        ({"train": {"lr": [0.0, 0.005]}}, ["lr 0 → 0.005"]),
        ({"train": {"batch_size": [32, 64]}}, ["batch 32 → 64"]),
        ({"train": {"optimizer": ["adamw", "sgd"], "steps": [10, 20]}}, ["optimizer adamw → sgd"]),
        ({"train": {"grad_clip_norm": [None, 1.0]}}, ["clip none → 1"]),
        ({"tasks": {"added": [TASK]}, "plugins": {"ClassificationTask": [None, "1"]}}, ["+ Digit"]),
        ({"tasks": {"removed": [TASK]}}, ["− Digit"]),  # noqa: RUF001
        ({"tasks": {"changed": {"kl": {"weight": [0.1, 0.5]}}}}, ["weight KL 0.1 → 0.5"]),
        ({"tasks": {"changed": {"kl": {"enabled": [True, False]}}}}, ["KL off"]),
        ({"tasks": {"changed": {"kl": {"latent_slice": [None, [0, 4]]}}}}, ["KL reads none → 0:4"]),
        ({"tasks": {"changed": {"kl": {"params": [{"a": 1, "b": 2}, {"a": 1, "b": 3}]}}}}, ["KL b 2 → 3"]),
        ({"model": {"latent_dim": [16, 17], "seed": [0, 1]}}, ["latent 16 → 17"]),
        (
            {"model": {"factor_groups": [[{"name": "free"}], [{"name": "hair"}]]}},
            ["+ group hair", "− group free"],  # noqa: RUF001
        ),
        ({"datasets": {"added": ["Digits"]}}, ["+ data Digits"]),
        ({"plugins": {"ConvVAE": ["1", "2"]}}, ["ConvVAE edited"]),
        ({}, []),
    ],
)
def test_a_difference_is_said_in_few_words(difference: dict[str, Any], said: list[str]) -> None:
    assert phrases(difference, NAMES) == said


def test_a_tree_tells_of_each_node_what_differs_from_the_one_before_it(branch: Branch) -> None:
    job, later = (rows.make_job(branch, state="SUCCEEDED") for _ in range(2))
    root = rows.make_checkpoint(branch, job, step=1)
    same = rows.make_checkpoint(branch, job, step=2, spec=root.spec)
    train = {**root.spec["train"], "lr": root.spec["train"]["lr"] / 10, "steps": 99}
    slow = rows.make_checkpoint(branch, later, parent=same, step=3, spec={**root.spec, "train": train})
    assert selectors.tree(branch.experiment).edges == {slow.pk: "lr / 10"}
    told = selectors.compact(selectors.tree(branch.experiment))
    assert told["edges"] == {2: "lr / 10"}
    assert told["pictures"] == {}
    assert Checkpoint.objects.count() == 3


def test_a_tree_that_was_read_before_reads_no_specification(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "_said", edges._Newest(3))
    monkeypatch.setattr(edges, "_hashed", edges._Newest(5))

    def read() -> tuple[list[str], int]:
        parents = dict(Checkpoint.objects.order_by("pk").values_list("pk", "parent"))
        made = dict(Checkpoint.objects.values_list("pk", "created_at"))
        with CaptureQueriesContext(connection) as asked:
            said = edges.edges(branch.experiment, parents, made)
        return list(said.values()), len(asked)

    def grow(node: Checkpoint, size: int) -> Checkpoint:
        spec = {**node.spec, "train": {**node.spec["train"], "batch_size": size}}
        return rows.make_checkpoint(branch, parent=node, step=size, spec=spec)

    node = rows.make_checkpoint(branch, step=1)
    for size in (16, 24, 32):
        node = grow(node, size)
    said, asked = read()
    assert (said[1:], asked) == (["batch 16 → 24", "batch 24 → 32"], 2)
    assert read() == (said, 0)
    node = grow(node, 64)
    assert read() == ([*said, "batch 32 → 64"], 2)
    grow(node, 128)
    assert read()[0] == [*said, "batch 32 → 64", "batch 64 → 128"]
    assert (len(edges._said), len(edges._hashed)) == (3, 5), "what is kept is bounded"
