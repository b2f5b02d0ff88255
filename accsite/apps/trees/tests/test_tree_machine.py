"""Whatever is forked, loaded, marked, deleted, restored, pruned and purged in whatever order, a tree stays whole."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.services import branches, experiments
from accsite.apps.training.tests import rows
from accsite.apps.trees.services import deletion, marks, retention
from accsite.errors import WrongState

pytestmark = pytest.mark.both_databases

PICK = st.integers(0, 10**6)


class TreeMachine(RuleBasedStateMachine):
    """One experiment; ``kept``: what was tagged or starred, ``used``: what a waiting job measures."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.branch = rows.make_branch(None)
        self.experiment = self.branch.experiment
        self.number = 0
        self.kept: set[int] = set()
        self.used: set[int] = set()
        self.deletions: list[uuid.UUID] = []
        self.grow(0)

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    def pick(self, number: int, of: Any) -> Any:
        found = list(of.order_by("pk"))
        return found[number % len(found)] if found else None

    def node(self, number: int) -> Checkpoint | None:
        return self.pick(number, Checkpoint.objects.all())

    @rule(number=PICK)
    def grow(self, number: int) -> None:
        branch = self.pick(number, Branch.objects.all())
        self.number += 1
        losses = {"total": float(number % 97)}
        made = rows.make_checkpoint(branch, parent=branch.head, step=self.number, losses=losses)
        Branch.objects.filter(pk=branch.pk).update(head=made)

    @rule(number=PICK)
    def save_by_hand(self, number: int) -> None:
        branch = self.pick(number, Branch.objects.all())
        rows.make_checkpoint(branch, parent=branch.head, kind="manual")

    @rule(number=PICK)
    def fork(self, number: int) -> None:
        node = self.node(number)
        if node is None or node.weights_pruned_at or Branch.objects.count() > 4:
            return
        self.number += 1
        made = experiments.create_branch(
            actor=None, experiment=self.experiment, name=f"b{self.number}", from_checkpoint=node
        )
        assert made.head == node

    @rule(number=PICK, other=PICK)
    def load(self, number: int, other: int) -> None:
        branch, node = self.pick(other, Branch.objects.all()), self.node(number)
        if node is None:
            return
        try:
            branches.load_checkpoint(actor=None, branch=branch, checkpoint=node)
        except WrongState:
            assert node.weights_pruned_at is not None

    @rule(number=PICK, starred=st.booleans())
    def mark(self, number: int, starred: bool) -> None:
        node = self.node(number)
        if node is None:
            return
        marks.mark_checkpoint(actor=None, checkpoint=node, starred=starred)
        (self.kept.add if starred else self.kept.discard)(node.pk)

    @rule(number=PICK)
    def measure(self, number: int) -> None:
        node = self.node(number)
        if node is not None and len(self.used) < 3:
            rows.make_job(node.branch, kind=JobKind.EVALUATE, checkpoint=node)
            self.used.add(node.pk)

    @rule()
    def measured(self) -> None:
        Job.objects.update(state=JobState.SUCCEEDED)
        self.used.clear()

    @rule(number=PICK, subtree=st.booleans())
    def delete(self, number: int, subtree: bool) -> None:
        node = self.node(number)
        if node is None:
            return
        before = Checkpoint.objects.count()
        try:
            made = deletion.delete_checkpoint(actor=None, checkpoint=node, subtree=subtree)
        except WrongState:
            assert Checkpoint.objects.count() == before
        else:
            assert Checkpoint.objects.count() == before - len(made.checkpoints)
            self.deletions.append(made.id)

    @rule(number=PICK)
    def restore(self, number: int) -> None:
        if not self.deletions:
            return
        chosen = self.deletions[number % len(self.deletions)]
        try:
            deletion.restore_deletion(actor=None, experiment=self.experiment, deletion=chosen)
        except InvalidInput:
            return
        self.deletions.remove(chosen)

    @rule(last=st.integers(0, 2), best=st.integers(0, 1))
    def prune(self, last: int, best: int) -> None:
        policy = {"last": last, "best": best}
        told = retention.plan_pruning(self.experiment, policy)
        done, made = retention.prune(actor=None, experiment=self.experiment, policy=policy)
        assert told.as_dict() == done.as_dict()
        if made is not None:
            self.deletions.append(made.id)

    @rule()
    def time_passes(self) -> None:
        gone = deletion.purge(timezone.now() + timedelta(days=365))
        assert not Checkpoint.everything.filter(pk__in=gone).exists()

    @invariant()
    def nothing_is_an_orphan(self) -> None:
        live = set(Checkpoint.objects.values_list("pk", flat=True))
        parents = set(Checkpoint.objects.exclude(parent=None).values_list("parent", flat=True))
        assert parents <= live

    @invariant()
    def every_head_is_there_with_its_weights(self) -> None:
        for branch in Branch.objects.exclude(head=None):
            head = branch.head
            assert head is not None
            assert head.deleted_at is None
            assert head.weights_pruned_at is None
        forked = set(Branch.objects.exclude(forked_from=None).values_list("forked_from", flat=True))
        assert forked <= set(Checkpoint.objects.values_list("pk", flat=True))

    @invariant()
    def what_is_kept_or_used_is_never_lost(self) -> None:
        found = Checkpoint.objects.in_bulk(self.kept | self.used)
        assert found.keys() == self.kept | self.used


@pytest.mark.django_db
def test_any_order_of_changes_leaves_a_whole_tree() -> None:
    run_state_machine_as_test(
        TreeMachine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )
