"""Waiting jobs have an order that operators may change, and a free worker takes the first that suits it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job, JobKind, Worker
from accsite.apps.jobs.selectors.queue import places, waiting
from accsite.apps.jobs.services import lifecycle, queue
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows
from accsite.errors import WrongState

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def make(**fields: Any) -> Job:
    values = {"kind": JobKind.GENERATE, "queue": "default", "title": "made", "spec": {}, **fields}
    return Job.objects.create(**values)


def order(name: str = "default") -> list[int]:
    return list(waiting(name).values_list("pk", flat=True))


def test_jobs_wait_in_the_order_of_their_submission_and_of_their_priority() -> None:
    first, second, third = make(), make(), make()
    queue.set_priority(job=third, priority="5")
    assert order() == [third.pk, first.pk, second.pk]
    assert places() == {third.pk: 1, first.pk: 2, second.pk: 3}


def test_a_job_is_moved_up_down_first_and_last() -> None:
    first, second, third = make(), make(), make()
    queue.move(job=third, direction="up")
    assert order() == [first.pk, third.pk, second.pk]
    queue.move(job=third, direction="first")
    assert order() == [third.pk, first.pk, second.pk]
    queue.move(job=third, direction="down")
    assert order() == [first.pk, third.pk, second.pk]
    queue.move(job=first, direction="last")
    assert order() == [third.pk, second.pk, first.pk]
    late = make()
    assert order()[-1] == late.pk or order()[-2:] == [first.pk, late.pk]


def test_there_is_always_room_between_two_jobs() -> None:
    first, *others = (make() for _ in range(3))
    for number in range(60):  # each time half the room
        queue.move(job=others[(number + 1) % 2], direction="up")
        assert order() == [first.pk, others[(number + 1) % 2].pk, others[number % 2].pk]
    assert [*order(), make().pk] == order()


def test_a_job_that_is_moved_among_others_takes_on_their_priority() -> None:
    low, high = make(), make(priority=3)
    queue.move(job=low, direction="first")
    low.refresh_from_db()
    assert (order(), low.priority) == ([low.pk, high.pk], 3)


@pytest.mark.parametrize("value", ["soon", "101", None, ""])
def test_a_wrong_priority_is_refused_with_its_limits(value: Any) -> None:
    job = make()
    with pytest.raises(InvalidInput, match="a whole number from -100 to 100"):
        queue.set_priority(job=job, priority=value)


def test_only_a_job_that_waits_has_a_place() -> None:
    job = make(state="RUNNING")
    with pytest.raises(WrongState, match=f"job {job.pk} is running"):
        queue.move(job=job, direction="up")
    with pytest.raises(InvalidInput, match="'sideways' is refused; choose one of: first, up, down, last"):
        queue.move(job=make(), direction="sideways")


def test_a_free_worker_takes_the_first_of_the_queue_whichever_rang(branch: Branch, worker: Worker) -> None:
    first, second = make(), make()
    assert queue.next_for(worker.name, second.pk) == first.pk
    queue.move(job=second, direction="first")
    assert queue.next_for(worker.name, first.pk) == second.pk


def test_a_job_of_another_device_is_passed_over(worker: Worker) -> None:
    make(spec={"device": "cuda"})
    mine = make()
    assert queue.next_for(worker.name, mine.pk) == mine.pk


def test_a_branch_trains_in_the_order_of_submission_whatever_the_places(
    branch: Branch, worker: Worker
) -> None:
    older, newer = rows.make_job(branch), rows.make_job(branch)
    queue.move(job=newer, direction="first")
    assert queue.next_for(worker.name, newer.pk) == older.pk
    assert lifecycle.claim(older.pk, worker) is not None
    assert queue.next_for(worker.name, newer.pk) == newer.pk  # nothing to take: claiming it will be refused
    assert lifecycle.claim(newer.pk, worker) is None


class MovesKeepEveryJob(TestCase):
    """Whatever is moved where, each waiting job has exactly one place."""

    @given(
        st.lists(st.tuples(st.integers(0, 4), st.sampled_from([*queue.DIRECTIONS, "priority"])), max_size=12)
    )
    @example([(2, "first"), (0, "down"), (2, "priority"), (3, "up")])  # up between two of one number
    def test_places_are_one_to_n(self, moves: list[tuple[int, str]]) -> None:
        Job.objects.all().delete()
        jobs = [make() for _ in range(5)]
        for index, direction in moves:
            before = order()
            if direction == "priority":
                queue.set_priority(job=jobs[index], priority=index - 2)
                continue
            queue.move(job=jobs[index], direction=direction)
            now, at = order(), before.index(jobs[index].pk)
            expected = {"first": 0, "up": max(0, at - 1), "down": min(4, at + 1), "last": 4}[direction]
            assert now.index(jobs[index].pk) == expected
            assert [pk for pk in now if pk != jobs[index].pk] == [pk for pk in before if pk != jobs[index].pk]
        assert sorted(places().values()) == [1, 2, 3, 4, 5]
