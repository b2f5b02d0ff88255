"""Reads an experiment's tree: every node and branch, without specifications and histories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple, TypedDict

from accsite.apps.jobs.models import TRAININGS, Job, JobKind
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind, Experiment
from accsite.apps.training.selectors.alarms import grave_alarms_in, words_at
from accsite.apps.trees import measures, pictures
from accsite.apps.trees.pictures import Picture
from accsite.apps.trees.selectors.edges import edges
from accsite.numbers import if_finite

KINDS: Sequence[str] = CheckpointKind.values
LEAST_RUN = 3


class Node(NamedTuple):
    """One checkpoint of a tree. ``value``: of the chosen metric; ``pruned``: it has no weights any more.

    ``alarms``: in words the grave ones that its job had raised when it was saved. ``parent`` is where its training
    came from: what the same job saved before, else what the job started from.
    """

    id: int
    parent: int | None
    branch: int
    step: int
    kind: str
    tag: str
    starred: bool
    job: int | None
    created_at: datetime
    pruned: bool
    value: float | None
    alarms: str


@dataclass(frozen=True)
class Tree:
    """An experiment's nodes, oldest first (a parent comes before its children), and its branches.

    busy: branch -> the train or expand job that is to move its head. metrics: name -> higher is better.
    edges: node -> what differs from its parent, in a few words. pictures: node -> its newest picture.
    """

    experiment: Experiment
    nodes: list[Node]
    branches: list[Branch]
    busy: dict[int, int]
    metric: str
    metrics: dict[str, bool]
    edges: dict[int, str]
    pictures: dict[int, Picture]


def tree(experiment: Experiment, metric: str = "") -> Tree:
    """Return the tree with the values of a metric (default: the total loss); raises InvalidInput(metric)."""
    measured = measures.read(experiment.pk, metric or measures.TOTAL)
    rows = (
        Checkpoint.objects.filter(experiment=experiment)
        .order_by("pk")
        .values_list(
            "pk",
            "parent_id",
            "branch_id",
            "step",
            "kind",
            "tag",
            "starred",
            "job_id",
            "created_at",
            "weights_pruned_at",
            "job_step",
        )
    )
    raised = grave_alarms_in(experiment)
    nodes = _in_line(
        Node(*row[:-2], row[-2] is not None, measured.values.get(row[0]), words_at(raised, row[7], row[-1]))
        for row in rows.iterator(2000)
    )
    branches = list(experiment.branches.order_by("pk"))
    moving = Job.objects.active().filter(branch__in=branches, kind__in=(*TRAININGS, JobKind.EXPAND))
    busy = dict(moving.order_by("-pk").values_list("branch_id", "pk"))
    metrics = {measured.name: measured.higher_is_better, **measures.names(experiment.pk)}
    parents = {node.id: node.parent for node in nodes}
    differs = edges(experiment, parents, {node.id: node.created_at for node in nodes})
    drawn = pictures.in_tree(experiment.pk)
    return Tree(experiment, nodes, branches, busy, measured.name, metrics, differs, drawn)


def _in_line(nodes: Iterable[Node]) -> list[Node]:
    """Hang each checkpoint of a job on the one before it; the rows tell only where the job started."""
    line: list[Node] = []
    saved: dict[int, Node] = {}
    for node in nodes:
        before = saved.get(node.job) if node.job is not None else None
        follows = before is not None and before.parent == node.parent and before.step <= node.step
        line.append(node._replace(parent=before.id) if before is not None and follows else node)
        if node.job is not None:
            saved[node.job] = node
    return line


class CompactBranch(TypedDict):
    """A branch of a tree; ``job``: the one that is to move its head."""

    id: int
    name: str
    slug: str
    head: int | None
    forked_from: int | None
    job: int | None


class CompactTree(TypedDict):
    """A tree as columns, oldest node first.

    Node i is the i-th entry of every column, in which ``[7, 12]`` stands for twelve times 7. ``id``, ``job``,
    ``minute``: differences from the entry before (the first from 0); ``job`` 0 where it is the same job or none,
    see ``no_job``. ``parent``: how many entries before it the parent stands, 0 for a root. ``branch``: index into
    ``branches``. ``step``: difference from the parent's. ``kind``: one digit a node, an index into ``kinds``.
    ``value``: as it is stored, None where there is none. ``minute``: minutes since ``since``.
    ``alarms``: words, '' for none. ``tags``: index -> tag; ``starred``, ``pruned``, ``forked``, ``no_job``: indices.
    ``edges``: index -> what differs from the parent, in a few words. ``pictures``: index -> address, width and height
    in pixels, and those of one of its images.
    """

    experiment: str
    count: int
    metric: str
    metrics: dict[str, bool]
    branches: list[CompactBranch]
    kinds: list[str]
    since: str | None
    id: list[Any]
    parent: list[Any]
    branch: list[Any]
    step: list[Any]
    kind: str
    job: list[Any]
    minute: list[Any]
    value: list[Any]
    tags: dict[int, str]
    alarms: list[Any]
    starred: list[int]
    pruned: list[int]
    forked: list[int]
    no_job: list[int]
    edges: dict[int, str]
    pictures: dict[int, list[Any]]


def compact(tree: Tree) -> CompactTree:
    """Return the tree as columns for the wire, 5,000 nodes in less than 200 KB."""
    nodes = tree.nodes
    place = {node.id: index for index, node in enumerate(nodes)}
    steps = {node.id: node.step for node in nodes}
    since = nodes[0].created_at if nodes else None
    forked = {branch.forked_from_id for branch in tree.branches}
    owner = {branch.pk: index for index, branch in enumerate(tree.branches)}
    jobs, last = [], 0
    for node in nodes:
        jobs.append((node.job or last) - last)
        last = node.job or last
    return {
        "experiment": tree.experiment.slug,
        "count": len(nodes),
        "metric": tree.metric,
        "metrics": tree.metrics,
        "branches": [
            {
                "id": branch.pk,
                "name": branch.name,
                "slug": branch.slug,
                "head": branch.head_id,
                "forked_from": branch.forked_from_id,
                "job": tree.busy.get(branch.pk),
            }
            for branch in tree.branches
        ],
        "kinds": list(KINDS),
        "since": since.isoformat() if since else None,
        "id": _runs(_steps([node.id for node in nodes])),
        "parent": _runs(
            index - place[node.parent] if node.parent in place else 0 for index, node in enumerate(nodes)
        ),
        "branch": _runs(owner[node.branch] for node in nodes),
        "step": _runs(node.step - steps.get(node.parent or 0, 0) for node in nodes),
        "kind": "".join(str(KINDS.index(node.kind)) for node in nodes),
        "job": _runs(jobs),
        "minute": _runs(
            _steps([int((node.created_at - since).total_seconds() // 60) for node in nodes if since])
        ),
        "value": _runs(if_finite(node.value) for node in nodes),
        "tags": {index: node.tag for index, node in enumerate(nodes) if node.tag},
        "alarms": _runs(node.alarms for node in nodes),
        "starred": _where(node.starred for node in nodes),
        "pruned": _where(node.pruned for node in nodes),
        "forked": _where(node.id in forked for node in nodes),
        "no_job": _where(node.job is None for node in nodes),
        "edges": {index: tree.edges[node.id] for index, node in enumerate(nodes) if node.id in tree.edges},
        "pictures": {
            index: [shown.url, shown.width, shown.height, *shown.tile]
            for index, node in enumerate(nodes)
            if (shown := tree.pictures.get(node.id))
        },
    }


def _steps(values: Sequence[int]) -> list[int]:
    return [value - before for before, value in zip([0, *values], values, strict=False)]


def _runs(values: Iterable[Any]) -> list[Any]:
    """Return the values, those that come again and again as ``[value, count]`` where that is shorter."""
    column: list[Any] = []
    for value, run in groupby(values):
        count = len(list(run))
        if count > LEAST_RUN:
            column.append([value, count])
        else:
            column += [value] * count
    return column


def _where(marks: Iterable[bool]) -> list[int]:
    return [index for index, marked in enumerate(marks) if marked]
