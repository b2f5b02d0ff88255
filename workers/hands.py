"""What a process of ``workers.latent`` does for one checkpoint: reads it, answers about its latent, and forgets it."""

from __future__ import annotations

import math
import select
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import redis
import structlog
import torch
from django.conf import settings
from django.core.files.storage import default_storage

from acc.data import AccDataset
from acc.errors import AccError, InvalidInput
from acc.evaluation.encoding import groups_named
from acc.evaluation.hand import LatentHand
from acc.models.export import decoder_to_onnx
from acc.places import describe
from acc.training.checkpoints import files
from acc.training.plugin_set import PluginSet
from accsite import blobs
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.latent import desk
from accsite.apps.training.models import Checkpoint
from workers.job.materials import from_header, load_checkpoint, load_dataset

IDLE_SECONDS = 60.0
"""After so long without a question the process ends, and its memory is the machine's again."""
OLD_SECONDS = 1.0
"""A question about pictures that has waited longer is dropped: its asker has moved on."""
QUESTION_BYTES = 2 * desk.MAX_LATENT_BYTES
TOO_LATE = "the picture came too late; move on"

log = structlog.get_logger(__name__)


class Hand:
    """A checkpoint in the hand, the datasets that its starts are from, and another on the way to which it is."""

    def __init__(self, pk: int) -> None:
        self.row = Checkpoint.objects.get(pk=pk)
        self.file = load_checkpoint(self.row)
        classes = PluginSet(*from_header(self.file.header.plugins))
        self.hand = LatentHand(self.file, classes, self._default_dataset())
        self._datasets: dict[str, AccDataset] = {}
        self._other: tuple[int, files.Checkpoint] | None = None

    def answer(self, asked: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Return header and body of the answer to a question; raises AccError."""
        self._mix(asked)
        match asked["ask"]:
            case "open":
                return self._open()
            case "start":
                return self._start(asked)
            case "file":
                return self._file()
            case "decode":
                latents = np.frombuffer(body, dtype="<f4").reshape(-1, *self.hand.reach.shape)
                pixels = self.hand.decode(latents.copy())  # torch wants numbers that may be written to
                return {"pictures": len(pixels)}, pixels.tobytes()
        raise InvalidInput({"ask": f"{asked['ask']!r} is no question; ask open, start, decode or file"})

    def _open(self) -> tuple[dict[str, Any], bytes]:
        numbers = math.prod(self.hand.reach.shape)
        if numbers > desk.MAX_LATENT_NUMBERS:
            many = f"the latent of this checkpoint has {numbers:,} numbers"
            raise InvalidInput(
                {"latent": f"{many}; at most {desk.MAX_LATENT_NUMBERS:,} can be taken in hand"}
            )
        return self.hand.reach.as_dict(), b""

    def _start(self, asked: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        if not asked.get("dataset"):
            seed = int(asked.get("seed") or 0)
            latent = self.hand.draw(seed)
            return {"seed": seed, "numbers": latent.size}, latent.astype("<f4").tobytes()
        slug, row = str(asked["dataset"]), int(asked.get("row") or 0)
        if slug not in self._datasets:
            found = Dataset.objects.filter(slug=slug).first()
            if found is None:
                raise InvalidInput({"dataset": f"there is no dataset {slug!r}"})
            self._datasets = {slug: AccDataset.load(datasets.local_path(found))}
        latent, image = self.hand.encode(self._datasets[slug], row)
        told = {"dataset": slug, "row": row, "images": len(self._datasets[slug]), "numbers": latent.size}
        return told, latent.astype("<f4").tobytes() + image.tobytes()

    def _file(self) -> tuple[dict[str, Any], bytes]:
        """Keep the decoder as a file named by the checkpoint's hash, and tell its name."""
        name = desk.decoder_file(self.row.sha256)
        if not default_storage.exists(name):
            self.hand.mix("", None, 0.0)
            # This process may be killed at any moment, and what has this name is kept by browsers for ever.
            blobs.write_named(decoder_to_onnx(self.hand.model, self.hand.reach.shape), name)
        return {"file": name, "bytes": default_storage.size(name)}, b""

    def _mix(self, asked: Mapping[str, Any]) -> None:
        toward, part = asked.get("toward"), float(asked.get("part") or 0.0)
        if not toward:
            self.hand.mix("", None, 0.0)
            return
        if self._other is None or self._other[0] != toward:
            self._other = (toward, load_checkpoint(Checkpoint.objects.get(pk=toward)))
        self.hand.mix(str(toward), self._other[1].part("model"), part)

    def _default_dataset(self) -> AccDataset | None:
        """Return the dataset whose targets name the most factor groups, of those that are still here."""
        spec = self.file.header.spec
        groups = spec.model.factor_groups
        by_fit = sorted(
            spec.datasets.values(), key=lambda each: groups_named(groups, each.targets), reverse=True
        )
        return next((found for each in by_fit if (found := load_dataset(each)) is not None), None)


def serve(pk: int, channel: socket.socket) -> None:
    """Answer questions about one checkpoint until none has come for a while.

    channel: gives questions, and takes the ticket of each that was answered.
    """
    torch.set_num_threads(1)
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=1)
    hand, refused = _opened(pk)
    opened = time.monotonic()

    def tell(ticket: str, header: Mapping[str, Any], numbers: bytes = b"") -> None:
        with suppress(redis.RedisError):  # nobody waits any more, or the next question is asked again
            desk.answer(client, ticket, header, numbers)
        channel.send(ticket.encode())

    while True:
        waiting = _drain(channel, tell)
        if waiting is None:
            return
        for asked, body in waiting:
            old = asked["at"] > opened and time.monotonic() - asked["at"] > OLD_SECONDS
            header, numbers = (
                ({"error": TOO_LATE}, b"")
                if old and asked["ask"] == "decode"
                else _answer(hand, refused, asked, body)
            )
            tell(asked["ticket"], header, numbers)
        if hand is None:
            return


def _opened(pk: int) -> tuple[Hand | None, str]:
    """Return the checkpoint in the hand, or None and why there is none."""
    try:
        return Hand(pk), ""
    except Checkpoint.DoesNotExist:
        return None, "this checkpoint was deleted"
    except AccError as error:
        return None, str(error)
    except Exception as error:
        log.exception("latent_not_opened", checkpoint=pk)
        return None, f"this checkpoint cannot be opened: {describe(error)}"


def _answer(
    hand: Hand | None, refused: str, asked: Mapping[str, Any], body: bytes
) -> tuple[dict[str, Any], bytes]:
    if hand is None:
        return {"error": refused}, b""
    try:
        return hand.answer(asked, body)
    except Checkpoint.DoesNotExist:
        return {"error": "the other checkpoint was deleted"}, b""
    except AccError as error:
        return {"error": str(error)}, b""
    except Exception as error:
        log.exception("latent_not_answered", checkpoint=hand.row.pk, ask=asked.get("ask"))
        return {"error": f"this cannot be answered: {describe(error)}"}, b""


def _drain(
    channel: socket.socket, tell: Callable[[str, Mapping[str, Any]], None]
) -> list[tuple[dict[str, Any], bytes]] | None:
    """Return what was asked, of pictures only the newest of each asker; None if it is time to end.

    tell: is given the ticket of each that is dropped, whose asker waits, and what it is told.
    """
    if not select.select([channel], [], [], IDLE_SECONDS)[0]:
        return None
    found: dict[object, tuple[dict[str, Any], bytes]] = {}
    while select.select([channel], [], [], 0)[0]:
        message = channel.recv(QUESTION_BYTES)
        if not message:
            return None
        asked, body = desk.unpack(message)
        newest = (asked["who"],) if asked["ask"] == "decode" else asked["ticket"]
        dropped = found.pop(newest, None)
        if dropped is not None:
            tell(dropped[0]["ticket"], {"error": TOO_LATE})
        found[newest] = asked, body
    return list(found.values())
