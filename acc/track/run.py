"""One run: what a loop tells, kept in memory for a tenth of a second and then in a journal."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import math
import os
import platform
import sys
import threading
import time
import traceback
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

from acc import journal
from acc.errors import AccError, InvalidInput
from acc.names import clean_name
from acc.text import DETAIL_CHARS, clean, in_words
from acc.track import values as tracked
from acc.track.file import Journal, first, records
from acc.track.sender import Sender
from acc.version import __version__

BLOCK_SECONDS = 0.1
"""What was logged is in the journal after so long; it survives the process from then on."""
FOLDER = "acc-runs"
GOODBYE_SECONDS = 10.0
"""How long the end of a run waits for a site that answers to take the rest."""
MOST_RECORD_BYTES = 2**20
MOST_CONFIG_BYTES = 2**18

log = logging.getLogger("acc.track")
_open: weakref.WeakSet[Run] = weakref.WeakSet()
# Found at once by ``log``, which is called in the loop.
_time, _MOST_STEP = time.time, journal.MOST_STEP
_Row = tuple[tuple[str, ...], int, float, tuple[Any, ...]]


def run(
    branch: str,
    *,
    config: Mapping[str, Any] | None = None,
    id: str | None = None,
    steps: int | None = None,
    site: str | None = None,
    token: str | None = None,
    offline: bool = False,
    folder: str | Path | None = None,
) -> Run:
    """Return a new run of a branch, written as ``experiment/branch``; both are made where they are not yet.

    config: what the loop was asked to do, as JSON. steps: how many there will be, if that is known. site, token: where
    it is shown, by default ACC_URL and ACC_TOKEN; without a site, or ``offline``, it is a file that ``acc sync`` sends.
    folder: where its file lies, by default ACC_RUNS, else ``acc-runs`` in the working directory. id: its name, by
    default a new one; that of a run which is there goes on with it. Raises InvalidInput naming each wrong argument, and
    for a run that another process writes.
    """
    begin = _beginning(branch, config, id, steps)
    place = Path(folder or os.environ.get("ACC_RUNS") or FOLDER)
    site = "" if offline else site or os.environ.get("ACC_URL", "")
    token = token or os.environ.get("ACC_TOKEN", "")
    if site and not token:
        raise InvalidInput(
            {"token": "the site needs one: give token=, set ACC_TOKEN, or track with offline=True"}
        )
    return Run(place / f"{begin['run']}{journal.SUFFIX}", begin, site=site, token=token)


class Run:
    """A run that is written: ``log``, ``save``, ``alarm``, and ``finish``, which the end of a ``with`` does."""

    def __init__(self, path: Path, begin: dict[str, Any], *, site: str, token: str) -> None:
        self.path, self.id, self.branch = path, str(begin["run"]), str(begin["branch"])
        sender = (
            Sender(path, site, token) if site else None
        )  # an address that cannot be one is refused before anything
        self._journal = Journal(path)
        try:
            self._next = self._begin(begin)
        except BaseException:
            self._journal.close()
            raise
        self._rows: deque[_Row] = deque()
        self._append: Callable[[_Row], None] = self._rows.append
        self._names: Any = None  # of the last call, which the next most often has, too
        self._known: set[tuple[str, ...]] = set()
        self._series: set[str] = set()
        self._wall = 0.0
        self._kept: list[tuple[dict[str, Any], bytes]] = []  # records that a full disk has not taken yet
        self._lock = threading.RLock()  # of the journal: the writer, and who saves, alarms or ends
        self._full = False
        self._closing = threading.Event()
        self._ended = False
        self._writer = threading.Thread(target=self._write, name="acc-track-writer", daemon=True)
        self._writer.start()
        self._sender = sender
        if sender is not None:
            sender.start()
        _open.add(self)

    # --- what a loop calls --------------------------------------------------------------------------------

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Keep values of a step, numbers or tensors of one value, and return at once; without a step: of the next one.

        Steps may be far apart, come again, and come in any order: of a series at a step, the value that was logged last
        counts. Tensors on a device are copied there and fetched later, many at once. Values are float32, and NaN and
        infinities are kept. Raises InvalidInput for anything else, and then nothing of the call is kept.
        """
        if step is None:
            step = self._next
        elif type(step) is not int or not 0 <= step <= _MOST_STEP:
            step = _step(step)
        names, row = tuple(values), tuple(values.values())
        for value in row:
            if type(value) is not float:
                row = tracked.plain(names, row)
                break
        if names != self._names:
            self._learn(names)
        self._append(
            (self._names, step, _time(), row)
        )  # one tuple of names for all calls: the others are freed
        self._next = step + 1

    def save(self, model: Any, step: int | None = None, *, spec: Any = None) -> Path:
        """Write the model's weights as a checkpoint, which is sent like the values, and return its file.

        model: a module of torch, or a state dict. step: updates so far, by default one more than the last logged step.
        spec: ``acc.specs.ModelSpec``, by default the one that a model of ACC carries; with it the checkpoint is
        measured like any other if the site has a plugin of that class, without it shown as weights alone.
        """
        from acc.track.weights import write_weights

        self._refuse_if_ended()
        at = self._next if step is None else _step(step)
        path, header = write_weights(self.path.with_suffix(""), model, at, spec)
        self._say({"say": "checkpoint", "step": at, **header})
        return path

    def alarm(self, message: str, *, step: int | None = None, series: str = "") -> None:
        """Tell something that whoever looks at the run should hear of; it stands on its chart at the step.

        series: the one that it is about, if it is about one. Raises InvalidInput for what cannot be a step or a name.
        """
        self._refuse_if_ended()
        if not (isinstance(series, str) and series == "") and (fault := journal.name_fault(series)):
            raise InvalidInput(series=fault)
        at = max(0, self._next - 1) if step is None else _step(step)
        self._say(
            {
                "say": "alarm",
                "step": at,
                "message": clean(str(message)),
                "series": series,
                "wall": time.time(),
            }
        )

    def finish(
        self,
        state: Literal["SUCCEEDED", "FAILED", "CANCELLED"] = "SUCCEEDED",
        message: str = "",
        detail: str = "",
    ) -> None:
        """End the run; again does nothing. What a site has not taken in ten seconds stays for ``acc sync``."""
        if state not in journal.ENDS:
            raise InvalidInput(
                state=f"{state!r} is not how a run ends; choose one of: {', '.join(journal.ENDS)}"
            )
        if self._ended:
            return
        self._ended = True
        self._append = _ended
        _open.discard(self)
        self._closing.set()
        self._writer.join()
        self._say(
            {
                "say": "end",
                "state": state,
                "message": clean(str(message)),
                "detail": clean(str(detail), DETAIL_CHARS),
                "wall": self._now(),
            }
        )
        lost = len(self._kept)
        with contextlib.suppress(OSError):
            self._journal.close()
        if lost:
            log.warning("run %s: its last %d records could not be written to %s", self.id, lost, self.path)
        elif self._sender is None:
            log.info("run %s is kept in %s; `acc sync` sends it", self.id, self.path)
        elif not self._sender.finish(GOODBYE_SECONDS):
            log.warning(
                "run %s is kept in %s; `acc sync` sends what the site has not taken", self.id, self.path
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        elif isinstance(error, KeyboardInterrupt | SystemExit):
            clean_exit = isinstance(error, SystemExit) and error.code in (None, 0)
            self.finish("SUCCEEDED" if clean_exit else "CANCELLED", "" if clean_exit else "interrupted")
        else:
            self.finish("FAILED", in_words(error), "".join(traceback.format_exception(kind, error, trace)))

    # --- the beginning ------------------------------------------------------------------------------------

    def _begin(self, begin: dict[str, Any]) -> int:
        """Write what run it is, or go on with the one that is there; return the step that comes next."""
        if not self._journal.count:
            self._journal.append(begin)
            return 0
        there = first(self.path).header
        if there["branch"] != begin["branch"]:
            raise InvalidInput(
                branch=f"run {self.id!r} is of {there['branch']!r}, not of {begin['branch']!r}; give another id"
            )
        found = [
            int(journal.points_of(each).steps.max()) for each in records(self.path) if each.says == "points"
        ]
        return max(found, default=-1) + 1

    def _learn(self, names: tuple[str, ...]) -> None:
        if names in self._known:
            self._names = names
            return
        for name in names:
            if fault := journal.name_fault(name):
                raise InvalidInput(values=fault)
        if not names:
            raise InvalidInput(values="nothing is logged; give at least one value, such as {'loss': 0.5}")
        if len(self._series | set(names)) > journal.MOST_SERIES:
            raise InvalidInput(
                values=f"{names[-1]!r} is one too many: a run has at most {journal.MOST_SERIES} series"
            )
        self._series |= set(names)
        self._known.add(names)
        self._names = names

    def _refuse_if_ended(self) -> None:
        if self._ended:
            _ended()

    # --- the writer ---------------------------------------------------------------------------------------

    def _write(self) -> None:
        while not self._closing.wait(BLOCK_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        """Close a block: put what was logged into the journal."""
        with self._lock:
            rows = [self._rows.popleft() for _ in range(len(self._rows))]
            try:
                self._keep([self._record(group) for group in grouped(rows)] if rows else [])
            except Exception as error:  # a tensor whose device failed; the loop will hear of that itself
                log.warning("run %s: %d calls of log could not be kept: %s", self.id, len(rows), error)

    def _say(self, header: dict[str, Any]) -> None:
        """Write a record behind all that was logged before it."""
        with self._lock:
            self._flush()
            self._keep([(header, b"")])

    def _keep(self, records: list[tuple[dict[str, Any], bytes]]) -> None:
        self._kept += records
        if not self._kept:
            return
        try:
            while self._kept:
                self._journal.append(*self._kept[0])
                self._kept.pop(0)
        except OSError as error:
            if not self._full:
                log.warning(
                    "run %s cannot be written to %s: %s; it is tried again", self.id, self.path, error
                )
            self._full = True
            return
        self._full = False

    def _record(self, rows: list[_Row]) -> tuple[dict[str, Any], bytes]:
        names = rows[0][0]
        flat = tracked.fetched([value for row in rows for value in row[3]])
        columns = flat.reshape(len(rows), len(names)).T
        # A clock that was set back does not turn time around: what comes is not before what was.
        first = self._wall = max(self._wall, rows[0][2])
        last = self._wall = max(self._wall, rows[-1][2])
        return journal.points(names, [row[1] for row in rows], columns, (first, last))

    def _now(self) -> float:
        return max(self._wall, time.time())

    # --- a fork, and the end of the process -----------------------------------------------------------------

    def _forked(self) -> None:
        """Leave the run to the process that has it: in a fork there are no threads to write it."""
        self._ended = True
        self._append = _in_a_fork
        self._journal.abandon()


def grouped(rows: list[_Row]) -> list[list[_Row]]:
    """Return the rows by the names that were logged together, at most as many as one record takes.

    They keep the order of the calls where two groups name the same series, since the later value counts.
    """
    found: dict[tuple[str, ...], list[_Row]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    if sum(map(len, found)) == len({name for names in found for name in names}):
        groups = list(found.values())
    else:
        groups = []
        for row in rows:
            if groups and groups[-1][0][0] == row[0]:
                groups[-1].append(row)
            else:
                groups.append([row])
    return [
        group[at : at + most]
        for group in groups
        for most in [max(1, MOST_RECORD_BYTES // (8 + 4 * len(group[0][0])))]
        for at in range(0, len(group), most)
    ]


def _ended(*_: Any) -> NoReturn:
    raise InvalidInput(
        run="the run has ended; what is logged now would be lost. Begin another with track.run(...)"
    )


def _in_a_fork(*_: Any) -> NoReturn:
    raise InvalidInput(run="a run is written by the process that began it; log there, not in a fork of it")


def _step(step: Any) -> int:
    """Return a step that is no plain int, such as one of numpy; raises InvalidInput."""
    try:
        whole = step.__index__() if not isinstance(step, bool) else -1
    except AttributeError:
        whole = -1
    if not 0 <= whole <= journal.MOST_STEP:
        raise InvalidInput(
            step=f"{step!r} is not a step; give a whole number from 0 to {journal.MOST_STEP:,}"
        )
    return int(whole)


def _beginning(branch: Any, config: Any, id: Any, steps: Any) -> dict[str, Any]:
    """Return the first record of a run; raises InvalidInput naming each wrong argument."""
    parts = branch.split("/") if isinstance(branch, str) else []
    if len(parts) != 2:
        raise InvalidInput(branch=f"{branch!r} is not of the form experiment/branch, such as 'mnist/mine'")
    names = [clean_name(part, field="branch") for part in parts]
    if config is not None and not isinstance(config, Mapping):
        raise InvalidInput(config=f"{config!r} is not a mapping, such as {{'lr': 1e-3}}")
    if id is not None and (
        not isinstance(id, str) or not 1 <= len(id) <= 64 or not set(id) <= _ID or id[0] in "-."
    ):
        raise InvalidInput(
            id=f"{id!r} is not the id of a run; give 1 to 64 letters, digits, -, _ or ., such as 'seed-1'"
        )
    if steps is not None and (type(steps) is not int or not 1 <= steps <= journal.MOST_STEP):
        raise InvalidInput(
            steps=f"{steps!r} is not a number of steps; give 1 or more, or nothing if it is not known"
        )
    try:
        text = json.dumps(dict(config or {}), default=_plain, allow_nan=True, ensure_ascii=False)
        size = len(text.encode())
    except (TypeError, ValueError) as error:
        raise InvalidInput(config=f"it cannot be written as JSON: {error}") from None
    if size > MOST_CONFIG_BYTES:
        raise InvalidInput(config=f"it has {size:,} bytes as JSON; at most {MOST_CONFIG_BYTES:,} are kept")
    return {
        "say": "begin",
        "format": journal.FORMAT,
        "run": id or f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:12]}",
        "branch": "/".join(names),
        "config": _finite(json.loads(text)),
        "steps": steps,
        "wall": time.time(),
        "host": clean(platform.node(), 120),
        "version": __version__,
    }


_ID = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def _plain(value: Any) -> Any:
    """Return something of a configuration that JSON has no word for as text, a number of numpy as a number."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return item()
    return str(value)


def _finite(value: Any) -> Any:
    """Return plain data whose infinite numbers are texts, since JSON has none."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value


@atexit.register
def _end_all() -> None:
    """End the runs that nobody ended: as failed, if an error that nobody caught ends the process."""
    error = getattr(sys, "last_value", None)
    for each in list(_open):
        with contextlib.suppress(AccError, OSError):
            if error is None:
                each.finish()
            else:
                each.finish("FAILED", in_words(error))


def _after_fork() -> None:
    for each in list(_open):
        each._forked()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)
