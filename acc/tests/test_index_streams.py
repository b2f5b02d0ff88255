"""Batches of row numbers are a pure function of seed, content and position."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.training.batch import IndexStream


def stream(rows: int, batch: int, *, seed: int = 0, content: str = "a", offset: int = 0) -> IndexStream:
    return IndexStream(
        np.arange(rows),
        seed=seed,
        content_hash=content,
        batch_size=batch,
        device=torch.device("cpu"),
        offset=offset,
    )


def drawn(source: IndexStream, batches: int) -> list[int]:
    return [row for _ in range(batches) for row in source.next().tolist()]


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 50), batch=st.integers(1, 70), batches=st.integers(1, 12))
def test_every_epoch_holds_each_row_once_even_when_a_batch_is_larger_than_the_dataset(
    rows: int, batch: int, batches: int
) -> None:
    numbers = drawn(stream(rows, batch), batches)
    assert len(numbers) == batch * batches
    for start in range(0, len(numbers) - rows + 1, rows):
        assert sorted(numbers[start : start + rows]) == list(range(rows))


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 50), batch=st.integers(1, 70), skipped=st.integers(0, 150))
def test_a_stream_goes_on_from_any_position(rows: int, batch: int, skipped: int) -> None:
    whole = stream(rows, batch)
    drawn(whole, skipped)
    later = stream(rows, batch, offset=whole.offset)
    assert drawn(whole, 3) == drawn(later, 3)


def test_the_order_does_not_depend_on_the_batch_size_or_on_how_far_ahead_is_prepared(monkeypatch) -> None:
    reference = drawn(stream(7, 1), 500)
    assert drawn(stream(7, 5), 100) == reference
    monkeypatch.setattr("acc.training.batch.BATCHES_AHEAD", 3)
    assert drawn(stream(7, 5), 100) == reference


def test_epochs_seeds_and_contents_shuffle_differently() -> None:
    numbers = drawn(stream(40, 40), 2)
    assert numbers[:40] != numbers[40:]
    assert drawn(stream(40, 40, seed=1), 1) != numbers[:40]
    assert drawn(stream(40, 40, content="b"), 1) != numbers[:40]
