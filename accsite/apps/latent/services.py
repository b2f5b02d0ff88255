"""Keeps no decoder longer than its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.files.storage import default_storage
from django.db import transaction

from accsite.apps.latent.desk import decoder_file
from accsite.apps.training.models import Checkpoint


def forget_purged(checkpoints: Sequence[int], **_: Any) -> None:
    """Remove the decoders of checkpoints that are removed for good, unless another of the same weights stays."""
    going = Checkpoint.everything.filter(pk__in=checkpoints).values_list("sha256", flat=True)
    staying = Checkpoint.everything.exclude(pk__in=checkpoints).filter(sha256__in=list(going))
    names = [decoder_file(sha256) for sha256 in set(going) - set(staying.values_list("sha256", flat=True))]

    def remove() -> None:
        for name in names:
            default_storage.delete(name)

    transaction.on_commit(remove)
