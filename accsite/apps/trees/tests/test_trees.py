"""A tree is read as columns, small and quick; its nodes are marked, deleted, restored and pruned."""

from __future__ import annotations

import json
import random
from itertools import accumulate
from typing import Any

import pytest
from django.test import Client

from acc.errors import InvalidInput
from acc.specs import TaskSpec
from accsite.apps.jobs.models import JobKind
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.services import branches, experiments
from accsite.apps.training.tests import rows
from accsite.apps.trees import selectors
from accsite.apps.trees.services import expansion, marks, retention
from accsite.errors import WrongState

pytestmark = pytest.mark.both_databases

NODES = 5000


def plant(branch: Branch, parents: list[int], lines: int = 10) -> None:
    """Grow checkpoints on this branch and some more."""
    names = [f"b{number}" for number in range(lines - 1)]
    more = [Branch.objects.create(experiment=branch.experiment, name=name, slug=name) for name in names]
    rows.plant([branch, *more], parents)


def in_lines(count: int, lines: int = 10) -> list[int]:
    """Return parents of nodes in so many lines, each of which forks off the one before a little below its end."""
    each = count // lines
    return [1 if i % each else min(i, 6) for i in range(count)]


def anywhere(count: int) -> list[int]:
    """Return parents chosen at random of all that came before."""
    chance = random.Random(0)
    return [chance.randint(1, i) if i else 0 for i in range(count)]


def column(entries: list[Any]) -> list[int]:
    """Return a column off the wire, its runs written out."""
    return [
        value for each in entries for value in ([each[0]] * each[1] if isinstance(each, list) else [each])
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(("parents", "lines"), [(in_lines(NODES), 10), (anywhere(NODES), 100)])
def test_a_tree_of_5000_nodes_is_less_than_200_kilobytes_and_can_be_read_back(
    branch: Branch, parents: list[int], lines: int
) -> None:
    plant(branch, parents, lines)
    told = selectors.compact(selectors.tree(branch.experiment))
    assert len(json.dumps(told, separators=(",", ":"))) < 200_000
    nodes = list(Checkpoint.objects.order_by("pk"))
    ids = list(accumulate(column(told["id"])))
    assert ids == [node.pk for node in nodes]
    backs = column(told["parent"])
    assert [ids[i - back] if back else None for i, back in enumerate(backs)] == [
        node.parent_id for node in nodes
    ]
    steps: list[int] = []
    for i, more in enumerate(column(told["step"])):
        steps.append(more + (steps[i - backs[i]] if backs[i] else 0))
    assert steps == [node.step for node in nodes]
    assert list(accumulate(column(told["job"]))) == [node.job_id for node in nodes]
    owners = [told["branches"][index]["id"] for index in column(told["branch"])]
    assert owners == [node.branch_id for node in nodes]


@pytest.mark.django_db
def test_a_tree_takes_the_same_few_queries_however_large(
    branch: Branch, django_assert_max_num_queries: Any
) -> None:
    plant(branch, in_lines(200))
    with django_assert_max_num_queries(9):
        selectors.compact(selectors.tree(branch.experiment))


def test_the_checkpoints_of_a_job_stand_in_a_line(branch: Branch) -> None:
    start = rows.make_checkpoint(branch)
    jobs = [rows.make_job(branch, state=JobState.SUCCEEDED, start_checkpoint=start) for _ in range(2)]
    made = [
        rows.make_checkpoint(branch, job, parent=start, step=10 + step, kind=kind)
        for step, kind in ((5, "autosave"), (9, "autosave"), (12, "final"))
        for job in jobs
    ]
    parents = {node.id: node.parent for node in selectors.tree(branch.experiment).nodes}
    for line in (made[::2], made[1::2]):
        assert [parents[node.pk] for node in line] == [start.pk, line[0].pk, line[1].pk]


def test_a_node_tells_what_differs_from_its_parent(branch: Branch, client: Client, user: Any) -> None:
    task = TaskSpec(key="a", name="A", task_class="ReconstructionTask", dataset="d").model_dump(mode="json")
    dataset = {"name": "D", "content_hash": "h", "n": 1, "image": {"channels": 1, "height": 32, "width": 32}}
    first = rows.make_checkpoint(branch)
    spec = {**first.spec, "tasks": [task], "datasets": {"d": dataset}}
    second = rows.make_checkpoint(branch, parent=first, spec=spec)
    heavier = {**spec, "tasks": [{**task, "weight": 2.0}], "train": {**spec["train"], "lr": 0.5}}
    third = rows.make_checkpoint(branch, parent=second, spec=heavier)
    client.force_login(user)
    told = [client.get(f"/api/v1/checkpoints/{node.pk}/").json() for node in (second, third)]
    assert [each["key"] for each in told[0]["difference"]["tasks"]["added"]] == ["a"]
    assert told[0]["difference"]["datasets"] == {"added": ["D"]}
    assert told[1]["difference"] == {
        "train": {"lr": [0.002, 0.5]},
        "tasks": {"changed": {"a": {"weight": [1.0, 2.0]}}},
    }
    assert told[1]["files"][0]["sha256"] == third.sha256
    again = client.get(f"/api/v1/checkpoints/{third.pk}/")
    same = client.get(f"/api/v1/checkpoints/{third.pk}/", headers={"If-None-Match": again["ETag"]})
    assert same.status_code == 304


def test_a_head_is_moved_unless_a_job_trains(branch: Branch, task: Any) -> None:
    first = rows.make_checkpoint(branch)
    second = rows.make_checkpoint(branch, parent=first)
    branches.load_checkpoint(actor=None, branch=branch, checkpoint=second)
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    with pytest.raises(WrongState, match=f"job {job.pk} trains digits/main and will move its head"):
        branches.load_checkpoint(actor=None, branch=branch, checkpoint=first)
    branch.refresh_from_db()
    assert branch.head == second


def test_a_model_that_lacks_what_a_task_reads_is_no_head(branch: Branch, dataset: Any) -> None:
    rows.make_task(branch, dataset, "digit", factor="digit")
    narrow = rows.make_checkpoint(branch)
    narrow.spec["model"]["factor_groups"] = []
    narrow.save()
    with pytest.raises(InvalidInput, match="does not fit its model: 'digit' is not a factor group"):
        branches.load_checkpoint(actor=None, branch=branch, checkpoint=narrow)


def test_a_fork_takes_the_tasks_that_were_chosen(branch: Branch, dataset: Any) -> None:
    rows.make_task(branch, dataset, "one")
    rows.make_task(branch, dataset, "two")
    make: Any = {"actor": None, "experiment": branch.experiment}
    fork = experiments.create_branch(name="some", tasks=["two"], **make)
    assert [task.key for task in fork.tasks.all()] == ["two"]
    with pytest.raises(InvalidInput, match="'three' is not the key of a task there; known: one, two"):
        experiments.create_branch(name="none", tasks=["three"], **make)
    assert Branch.objects.count() == 2


def test_a_tag_is_unique_in_its_experiment(branch: Branch) -> None:
    first, second = rows.make_checkpoint(branch), rows.make_checkpoint(branch)
    marks.mark_checkpoint(actor=None, checkpoint=first, tag="best", note="so far")
    with pytest.raises(InvalidInput, match=f"'best' is the tag of checkpoint {first.pk}"):
        marks.mark_checkpoint(actor=None, checkpoint=second, tag="best", starred=True)
    second.refresh_from_db()
    assert (second.tag, second.starred) == ("", False)
    elsewhere = rows.make_checkpoint(rows.make_branch(None, "other"))
    assert marks.mark_checkpoint(actor=None, checkpoint=elsewhere, tag="best").tag == "best"


def test_deleting_names_what_depends_and_can_be_undone(branch: Branch, client: Client, user: Any) -> None:
    root = rows.make_checkpoint(branch)
    leaf = rows.make_checkpoint(branch, parent=root)
    below = rows.make_checkpoint(branch, parent=leaf)
    client.force_login(user)
    refused = client.delete(f"/api/v1/checkpoints/{leaf.pk}/")
    assert refused.status_code == 409
    assert "1 checkpoint grew from" in refused.json()["detail"]
    marks.mark_checkpoint(actor=None, checkpoint=below, starred=True)
    refused = client.delete(f"/api/v1/checkpoints/{leaf.pk}/?subtree=1")
    assert f"checkpoint {below.pk} is starred" in refused.json()["detail"]
    marks.mark_checkpoint(actor=None, checkpoint=below, starred=False)
    done = client.delete(f"/api/v1/checkpoints/{leaf.pk}/?subtree=1").json()
    assert done["checkpoints"] == [leaf.pk, below.pk]
    assert client.get(f"/api/v1/checkpoints/{leaf.pk}/").status_code == 404
    with pytest.raises(WrongState, match="was deleted; restore it first"):
        experiments.create_branch(actor=None, experiment=branch.experiment, name="x", from_checkpoint=leaf)
    url = f"/api/v1/experiments/{branch.experiment.slug}/restore/"
    back = client.post(url, {"deletion": done["deletion"]}, content_type="application/json")
    assert back.json() == {"checkpoints": [leaf.pk, below.pk]}


def test_pruning_keeps_tags_stars_heads_the_newest_and_the_best(branch: Branch) -> None:
    line: list[Checkpoint] = []
    for step in range(6):
        above = line[-1] if line else None
        losses = {"total": abs(step - 2.0)}
        line.append(
            rows.make_checkpoint(
                branch, parent=above, step=step, losses=losses, file=f"f{step}", size_bytes=10
            )
        )
    leaf = rows.make_checkpoint(branch, parent=line[0], losses={"total": 9.0}, file="leaf", size_bytes=7)
    Checkpoint.objects.filter(pk=leaf.pk).update(branch=branch)
    Branch.objects.filter(pk=branch.pk).update(head=line[5])
    marks.mark_checkpoint(actor=None, checkpoint=line[1], tag="keep")
    plan = retention.plan_pruning(branch.experiment, {"last": 0, "best": 1})
    assert plan.kept == {
        line[1].pk: "is tagged 'keep'",
        line[5].pk: "is the head of branch 'main'",
        line[2].pk: "is among the best by loss/total",
    }
    assert (plan.leaves, sorted(plan.weights), plan.bytes) == ([leaf.pk], [line[i].pk for i in (0, 3, 4)], 37)
    assert Checkpoint.objects.filter(weights_pruned_at=None).count() == 7
    retention.prune(actor=None, experiment=branch.experiment, policy={"last": 0, "best": 1})
    assert set(Checkpoint.objects.values_list("pk", flat=True)) == {node.pk for node in line}
    with pytest.raises(WrongState, match="were pruned on"):
        expansion.submit_expansion(
            actor=None, checkpoint=line[3], expansion={"where": "latent"}, branch_name="x"
        )


def test_an_expansion_is_queued_from_the_api_and_refused_in_words(
    branch: Branch, client: Client, user: Any
) -> None:
    node = rows.make_checkpoint(branch)
    client.force_login(user)
    url = f"/api/v1/checkpoints/{node.pk}/expand/"

    def ask(**data: Any) -> Any:
        return client.post(url, data, content_type="application/json")

    assert ask(where="middle").json()["errors"]["where"]
    assert "is not the head of" in ask(where="latent").json()["detail"]
    made = ask(where="factor_group", name="slant", amount=3, branch_name="wider")
    assert (made.status_code, made.json()["kind"]) == (201, JobKind.EXPAND)
    assert "'digit' is already a factor group" in str(ask(where="factor_group", name="digit").json())
