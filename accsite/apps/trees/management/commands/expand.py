"""``manage.py expand CHECKPOINT --where latent --amount 4 --follow``: grow a trained model from a shell."""

from __future__ import annotations

from accsite.actions.commands import OneActionCommand
from accsite.apps.trees.actions.expand_checkpoint import ExpandCheckpoint


class Command(OneActionCommand):
    """Queue the growing of a checkpoint's model."""

    help = (
        "Grow a checkpoint's model: where is encoder_stage, decoder_stage, latent or factor_group; start is "
        "identity (no output changes) or random. Exit status: 0 queued (with --follow: done), 1 failed, 2 bad input."
    )
    action = ExpandCheckpoint
    called = "id or tag"
    also = {"branch_name": "--branch"}
