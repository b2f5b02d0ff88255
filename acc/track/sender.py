"""Sends a run's journal to a site: what it does not have yet, in its order, as often as it takes."""

from __future__ import annotations

import hashlib
import itertools
import logging
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acc import journal
from acc.errors import AccError
from acc.journal import Record
from acc.track import file as files

if TYPE_CHECKING:
    from acc.client.transport import Transport

PAUSE_SECONDS = 0.5
BACKOFF_SECONDS = (1.0, 30.0)
MOST_BYTES = 2**20
"""Of a request; a single record may be larger."""
TIMEOUT_SECONDS = 30.0
WEIGHTS_REFUSED = frozenset({413, 422})
WAIT_AND_TRY_AGAIN = frozenset({408, 425, 429})  # and all that say that it is the site's own fault

log = logging.getLogger("acc.track")


class NotTaken(AccError):
    """The site refuses a run, and would again; the text says why. status: of its answer, 0 without one."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Away(AccError):
    """The site does not answer, is full or has failed: later it may take the rest."""


class Delivery:
    """What a site has of one run, and giving it the rest; everything may be done again without harm.

    job: the number of the run's job there. points, checkpoints: how many were sent. lease: for how many seconds the
    site takes the run for running after each word.
    """

    def __init__(self, path: Path, transport: Transport) -> None:
        self.path, self._transport = path, transport
        self.job = self.points = self.checkpoints = 0
        self.state, self.page, self.lease = "", "", 20.0
        self._taken: int | None = None  # records that the site has; None before it was asked
        self._place, self._count, self._digest = 0, 0, journal.START  # up to where the file was read

    def give(self, *, live: bool, beat: bool = False) -> bool:
        """Send what is in the journal and not on the site; return whether anything was.

        live: the loop is running, so that the run is; beat: say so also if there is nothing to send. Raises Away,
        NotTaken, DamagedJournal, and OSError for a file that cannot be read.
        """
        if self._taken is None:
            self._begin(live)
        sent = False
        for batch in self._batches():
            self._send(batch, live)
            sent = True
        if beat and not sent:
            self._blocks(b"", live)
        return sent

    def _begin(self, live: bool) -> None:
        first = files.first(self.path)
        told = {name: value for name, value in first.header.items() if name != "say"}
        asked = {**told, "digest": first.digest.hex(), "live": live}
        self._note(self._asked(lambda: self._transport.json("POST", "track/", asked)))
        self._place, self._count, self._digest = 0, 0, journal.START
        for record in itertools.islice(self._unread(), self._taken):
            self._pass(record)
        if self._count < (self._taken or 0):
            raise NotTaken(
                f"the site has {self._taken} records of run {self.path.stem!r}, {self.path} has only {self._count}: "
                "it was sent from another copy of the file"
            )

    def _batches(self) -> Iterator[list[Record]]:
        batch: list[Record] = []
        for record in self._unread():
            if batch and (
                record.says == "checkpoint" or sum(each.size for each in batch) + record.size > MOST_BYTES
            ):
                yield batch
                batch = []
            batch.append(record)
        if batch:
            yield batch

    def _unread(self) -> Iterator[Record]:
        """Yield the whole records behind the place up to which the file was read."""
        return files.records(self.path, self._place, self._digest)

    def _send(self, batch: list[Record], live: bool) -> None:
        came = sum(self._send_weights(record) for record in batch if record.says == "checkpoint")
        data = b"".join(record.data for record in batch)
        answer = self._blocks(data, live)
        for record in batch:
            self._pass(record)
            if record.says == "points":
                self.points += int(record.header["count"]) * len(record.header["series"])
        self.checkpoints += came
        self._note(answer)

    def _send_weights(self, record: Record) -> bool:
        """Send the file that a record of a checkpoint names; return False, and say why, if it did not come.

        A file that is gone, or too large for the site, keeps nothing else of the run.
        """
        from acc.client.multipart import Multipart

        path = (
            self.path.with_suffix("") / Path(str(record.header.get("file", ""))).name
        )  # nothing from elsewhere
        if not path.is_file():
            log.warning("%s is gone: the weights of step %s are not sent", path, record.header["step"])
            return False
        where = f"track/{self.job}/weights/"
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != record.header["sha256"]:
                log.warning(
                    "%s was changed: the weights of step %s are not sent", path, record.header["step"]
                )
                return False
        form = Multipart({"sha256": str(record.header["sha256"])}, [("file", path)])
        try:
            self._asked(lambda: self._transport.upload(where, form, None))
        except NotTaken as error:
            if error.status not in WEIGHTS_REFUSED:
                raise
            log.warning("the weights of step %s are not sent: %s", record.header["step"], error)
            return False
        return True

    def _blocks(self, data: bytes, live: bool) -> dict[str, Any]:
        path, first = f"track/{self.job}/blocks/", self._count
        return dict(self._asked(lambda: self._transport.post_bytes(path, data, first=first, live=int(live))))

    def _pass(self, record: Record) -> None:
        self._place, self._count, self._digest = self._place + record.size, self._count + 1, record.digest

    def _note(self, answer: dict[str, Any]) -> None:
        self._taken, self.job, self.state = int(answer["taken"]), int(answer["job"]), str(answer["state"])
        self.page, self.lease = str(answer["page"]), float(answer["lease_seconds"])

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """Return the answer; a refusal is told apart from what may pass."""
        from acc.client.transport import ApiError, Unreachable

        try:
            return ask()
        except Unreachable as error:
            raise Away(str(error)) from None
        except ApiError as error:
            if error.status in WAIT_AND_TRY_AGAIN or error.status >= 500:
                raise Away(f"{self._transport.url} answers {error}") from None
            self._taken = None  # a site that was put back to an older state has fewer records than it said
            raise NotTaken(str(error), error.status) from None
        except ValueError as error:  # an answer of no ACC site: a proxy's page, say
            raise Away(f"{self._transport.url} answers with no JSON: {error}") from None


class Sender:
    """A thread that gives the journal of a running loop to a site, twice a second, and says that the loop lives."""

    def __init__(self, path: Path, site: str, token: str) -> None:
        self._delivery = Delivery(path, transport_to(site, token))
        self._ended = threading.Event()
        self._all = False
        self._thread = threading.Thread(target=self._run, name="acc-track-sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, seconds: float) -> bool:
        """Send the rest, in at most ``seconds``; return whether the site has all."""
        self._ended.set()
        self._thread.join(seconds)
        return self._all

    def _run(self) -> None:
        backoff, quiet, told, refused = 0.0, 0.0, False, 0
        while True:
            ended = self._ended.is_set()
            try:
                sent = self._delivery.give(live=not ended, beat=quiet >= self._delivery.lease / 3)
                if ended:
                    self._all = True
                    return
                quiet = 0.0 if sent or quiet >= self._delivery.lease / 3 else quiet + PAUSE_SECONDS
                backoff, refused = 0.0, 0
                told = False
            except (NotTaken, journal.DamagedJournal, OSError) as error:
                refused += 1
                if refused > 1 or not isinstance(error, NotTaken):
                    log.warning("%s is not sent any more: %s", self._delivery.path, error)
                    return
            except Away as error:
                if not told:
                    log.warning("%s; the run is kept in %s and sent later", error, self._delivery.path)
                told = True
                if ended:
                    return
                least, most = BACKOFF_SECONDS
                backoff = min(most, max(least, 2 * backoff)) * random.SystemRandom().uniform(0.8, 1.0)
            self._ended.wait(backoff or PAUSE_SECONDS)


def transport_to(site: str, token: str) -> Transport:
    """Return the way to a site; raises InvalidInput for an address or a token that cannot be one."""
    from acc.client.transport import Transport
    from acc.errors import InvalidInput

    try:
        return Transport(site, token, timeout=TIMEOUT_SECONDS)
    except ValueError as error:
        raise InvalidInput(site=str(error)) from None
