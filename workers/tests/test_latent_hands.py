"""What a process of one checkpoint's latent writes and answers, with a real model in the hand."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.storage import default_storage

from acc.evaluation.hand import LatentHand
from acc.tests import evaluated, helpers
from accsite.apps.latent import desk
from workers import hands


@pytest.fixture
def hand() -> hands.Hand:
    """A trained checkpoint in the hand, of no row."""
    found = hands.Hand.__new__(hands.Hand)
    found.hand = LatentHand(evaluated.checkpoint(), helpers.shipped_tasks(), None)
    found.row = SimpleNamespace(sha256="0" * 64)  # type: ignore[assignment]
    found._other = None
    return found


def test_nobody_ever_sees_a_part_of_a_decoder(hand: hands.Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    name = desk.decoder_file(hand.row.sha256)
    place, real = Path(default_storage.path(name)), os.open
    opened: list[Path] = []

    def noting(path: Any, *args: Any, **more: Any) -> int:
        opened.append(Path(path))
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", noting)
    try:
        told, _ = hand.answer({"ask": "file"}, b"")
        assert told == {"file": name, "bytes": place.stat().st_size}
        assert place not in opened, "it is written elsewhere, and renamed once it is whole"
    finally:
        default_storage.delete(name)
