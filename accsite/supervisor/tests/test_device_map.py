"""The map of devices to queues gives each device its worker, and no queue goes without one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acc.errors import InvalidInput
from accsite.supervisor.processes import placed, table

QUEUES = ("train", "eval", "default", "recipe")


def test_without_a_map_there_is_one_train_worker() -> None:
    assert placed("", "cuda:0") == [
        ("worker-train", "cuda:0", ("train",)),
        ("worker-eval", "cpu", ("eval", "default")),
        ("worker-recipe", "cpu", ("recipe",)),
    ]


def test_each_device_gets_a_worker_and_the_rest_the_cpu() -> None:
    assert placed("cuda:0=train cuda:1=train cuda:2=eval", "auto") == [
        ("worker-train-cuda0", "cuda:0", ("train",)),
        ("worker-train-cuda1", "cuda:1", ("train",)),
        ("worker-eval-cuda2", "cuda:2", ("eval",)),
        ("worker-eval", "cpu", ("default",)),
        ("worker-recipe", "cpu", ("recipe",)),
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.lists(st.sampled_from(QUEUES), min_size=1, unique=True)),
        unique_by=lambda pair: pair[0],
    )
)
def test_every_queue_has_a_worker_and_every_name_is_its_own(map: list[tuple[int, list[str]]]) -> None:
    text = " ".join(f"cuda:{index}={','.join(queues)}" for index, queues in map)
    workers = [process for process in table(devices=text) if process.queues]
    assert {queue for worker in workers for queue in worker.queues} == set(QUEUES)
    assert len({worker.name for worker in workers}) == len(workers)


@pytest.mark.parametrize(
    "text",
    ["cuda:0", "cuda:0=", "gpu=train", "cuda:0=fly", "cuda:0=train cuda:0=train", "=train", "cuda:0 =train"],
)
def test_a_map_that_cannot_be_read_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(InvalidInput, match="ACC_DEVICES"):
        placed(text, "auto")
