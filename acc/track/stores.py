"""Runs that other trackers kept, as journals: event files of TensorBoard, and stores of MLflow (files or SQLite).

The same store gives the same journals, so that one which is imported again, or sent from two places, is one run; one
that has grown is continued.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from acc import journal
from acc.errors import AccError, InvalidInput
from acc.names import MAX_NAME
from acc.track.file import Journal, records
from acc.version import __version__

EVENTS = "*tfevents*"
BLOCK_POINTS = 8192
ENDS = {
    "FINISHED": "SUCCEEDED",
    "FAILED": "FAILED",
    "KILLED": "CANCELLED",
    "3": "SUCCEEDED",
    "4": "FAILED",
    "5": "CANCELLED",
}


class Value(NamedTuple):
    """One value: its series, step, when it was made in seconds since the epoch, and itself."""

    series: str
    step: int
    wall: float
    value: float


Faults = list[str]
"""Sentences about what of a run could not be read, gathered while the rest is."""


@dataclass
class Found:
    """A run of another tracker. key: what it is called there; end: how it ended, empty where nothing says."""

    key: str
    experiment: str
    name: str
    values: Callable[[Faults], Iterator[Value]]
    config: dict[str, Any] = field(default_factory=dict)
    end: str = ""


@dataclass(frozen=True)
class StoredRun:
    """A run of a store as its journal tells it.

    id: its name here, the same whenever it is read. begin: the first record. series: name -> step -> the value that
    came last. left_out: values whose steps no run can have. end: how it ended, empty where nothing says; ended: when.
    """

    id: str
    branch: str
    begin: dict[str, Any]
    series: dict[str, dict[int, Value]]
    left_out: int
    end: str
    ended: float
    faults: tuple[str, ...]

    def beyond(self, told: Mapping[str, Mapping[int, float]]) -> dict[str, list[Value]]:
        """Return the values that are not among those that were told before, by series and step; NaN is like NaN."""
        found: dict[str, list[Value]] = {}
        for name, values in self.series.items():
            known = told.get(name, {})
            new = [each for step, each in values.items() if not _same(known.get(step), each.value)]
            if new:
                found[name] = new
        return found


@dataclass(frozen=True)
class Imported:
    """What came of one run. path: its journal; points: values taken over now; left_out: those that it cannot have.

    known: it was imported before, and what it has beyond that was added. faults: what could not be read.
    """

    path: Path
    branch: str
    points: int = 0
    left_out: int = 0
    known: bool = False
    faults: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the line that tells it."""
        if self.known:
            new = f"{self.points:,} new points" if self.points else "nothing new"
            return f"{self.path}: {self.branch}, was imported before, {new}"
        rest = f", {self.left_out:,} left out: their steps are below 0" if self.left_out else ""
        return f"{self.path}: {self.branch}, {self.points:,} points{rest}"


def import_runs(path: str | Path, *, folder: str | Path, experiment: str = "") -> list[Imported]:
    """Write each run of a store as a journal into ``folder`` and return what came of each; `acc sync` sends them.

    path: a folder with event files of TensorBoard somewhere in it, or one of those files; a folder of MLflow's file
    store (``mlruns``); or its SQLite file. experiment: the name of the experiment they go to, by default that of the
    store's own experiment, or of the folder. Of a run that was imported before, what it has beyond that is added.
    Raises InvalidInput for what holds no runs, AccError where a package is missing, with the command that installs it.
    """
    return [_write(run, Path(folder)) for run in stored_runs(path, experiment=experiment)]


def stored_runs(path: str | Path, *, experiment: str = "") -> Iterator[StoredRun]:
    """Yield the runs of a store one by one, as ``import_runs`` finds them; raises the same."""
    path = Path(path)
    runs = list(_runs(path))
    if not runs:
        raise InvalidInput(
            path=f"{str(path)!r} holds no runs; give a folder of TensorBoard's event files, MLflow's folder mlruns, "
            "or its SQLite file"
        )
    for run in runs:
        yield _stored(run, experiment)


def _runs(path: Path) -> Iterator[Found]:
    if path.is_file():
        with path.open("rb") as file:
            if file.read(16) == b"SQLite format 3\0":
                yield from _from_sqlite(path)
                return
        if path.match(EVENTS):
            yield _of_events(path.resolve().parent.name, path.stem, [path])
        return
    if any((each / "meta.yaml").is_file() for each in _folders(path)):
        yield from _from_mlruns(path)
        return
    for folder in sorted({file.parent for file in path.rglob(EVENTS) if file.is_file()}):
        files = sorted(each for each in folder.glob(EVENTS) if each.is_file())
        name = folder.relative_to(path).as_posix()
        yield _of_events(path.resolve().name, path.resolve().name if name == "." else name, files)


# --- TensorBoard ------------------------------------------------------------------------------------------


def _of_events(experiment: str, name: str, files: list[Path]) -> Found:
    # Folders are called alike in many projects (lightning_logs/version_0); a file's name has its time and process.
    key = f"tensorboard/{experiment}/{name}/{files[0].name}"
    return Found(key, experiment, name, lambda faults: _events(files, faults))


def _events(files: list[Path], faults: Faults) -> Iterator[Value]:
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError:
        raise AccError(
            "event files are read by a package that is missing: pip install 'acc[tensorboard]'"
        ) from None
    for file in files:
        plugins: dict[str, str] = {}  # of a tag, told by its first value alone
        count, why = 0, ""
        try:
            for event in EventFileLoader(str(file)).Load():
                count += 1
                for value in event.summary.value:
                    plugin = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
                    if plugin == "scalars" and value.HasField("tensor"):
                        array = make_ndarray(value.tensor)
                        if array.size == 1:
                            number = float(array.reshape(()))
                            yield Value(value.tag, int(event.step), float(event.wall_time), number)
        except (
            Exception
        ) as error:  # whatever the package makes of damaged bytes: what came before them is kept
            why = f": {str(error)[:200]}"
        # Some damage ends the reading without a word. A last event that is cut off is none: its run is at it.
        whole = _events_in(file)
        if why or count < whole:
            faults.append(f"{file.name} is damaged behind {count:,} of {whole:,} events{why}")


def _events_in(file: Path) -> int:
    """Return how many whole events an event file has, by their lengths alone.

    Each is its length (uint64 LE), a checksum of that (4 bytes), itself, and a checksum (4 bytes).
    """
    left, count = file.stat().st_size, 0
    with file.open("rb") as events:
        while len(head := events.read(12)) == 12:
            size = 12 + int.from_bytes(head[:8], "little") + 4
            if size > left:
                break
            left, count = left - size, count + 1
            events.seek(size - 12, os.SEEK_CUR)
    return count


# --- MLflow -----------------------------------------------------------------------------------------------


def _from_mlruns(root: Path) -> Iterator[Found]:
    for experiment in _folders(root):
        named = _meta(experiment)
        for run in _folders(experiment):
            told = _meta(run)
            if not named or "run_id" not in told:
                continue
            params = {each.name: _text(each) for each in _files(run / "params")}
            name = told.get("run_name") or told["run_id"]
            yield Found(
                f"mlflow/{told['run_id']}",
                named.get("name", experiment.name),
                name,
                lambda faults, run=run: _metrics(run / "metrics", faults),  # type: ignore[misc]
                params,
                ENDS.get(told.get("status", ""), ""),
            )


def _metrics(folder: Path, faults: Faults) -> Iterator[Value]:
    for file in _files(folder):
        name, wrong = file.relative_to(folder).as_posix(), []
        for number, line in enumerate(_text(file).splitlines(), start=1):
            try:
                wall, value, *step = line.split()
                yield Value(name, int(step[0]) if step else 0, int(wall) / 1000, float(value))
            except (ValueError, OverflowError):
                wrong.append((number, line))
        if wrong:
            number, line = wrong[0]
            faults.append(
                f"metric {name!r}: {_lines(len(wrong))} cannot be read, first line {number}: {line[:60]!r}"
            )


def _from_sqlite(path: Path) -> Iterator[Found]:
    database = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
    try:
        rows = database.execute(
            "SELECT runs.run_uuid, runs.name, experiments.name, runs.status FROM runs "
            "JOIN experiments ON experiments.experiment_id = runs.experiment_id ORDER BY runs.start_time, runs.run_uuid"
        ).fetchall()
        params: dict[str, dict[str, str]] = {}
        for run, key, value in database.execute("SELECT run_uuid, key, value FROM params"):
            params.setdefault(run, {})[key] = value
    except sqlite3.DatabaseError as error:
        raise InvalidInput(path=f"{str(path)!r} is no store of MLflow: {error}") from None
    finally:
        database.close()
    for run, name, experiment, status in rows:
        yield Found(
            f"mlflow/{run}",
            experiment,
            name or run,
            lambda faults, run=run: _sqlite_metrics(path, run, faults),  # type: ignore[misc]
            params.get(run, {}),
            ENDS.get(status, ""),
        )


def _sqlite_metrics(path: Path, run: str, faults: Faults) -> Iterator[Value]:
    database = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
    query = (
        "SELECT key, step, timestamp, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY timestamp, step"
    )
    wrong = 0
    try:
        for key, step, timestamp, value, is_nan in database.execute(query, (run,)):
            try:
                number = float("nan") if is_nan else float(value)
                yield Value(str(key), int(step), timestamp / 1000, number)
            except (TypeError, ValueError, OverflowError):
                wrong += 1
    except sqlite3.DatabaseError as error:
        faults.append(f"its metrics cannot all be read: {error}")
    finally:
        database.close()
    if wrong:
        faults.append(f"{_lines(wrong)} of its metrics cannot be read")


def _lines(count: int) -> str:
    return f"{count:,} line{'s' * (count != 1)}"


def _text(file: Path) -> str:
    """Return what a file says; bytes that are no text are replaced, so that what stands beside them is read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _folders(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else []


def _meta(folder: Path) -> dict[str, str]:
    """Return the plain fields of MLflow's meta.yaml, which holds a name and a value a line."""
    lines = _text(folder / "meta.yaml").splitlines()
    pairs = (line.partition(":") for line in lines if not line.startswith((" ", "-", "#")))
    return {name.strip(): _unquoted(value.strip()) for name, _, value in pairs}


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return "" if text in {"null", "~"} else text


# --- into a journal ---------------------------------------------------------------------------------------


def _stored(run: Found, experiment: str) -> StoredRun:
    faults: Faults = []
    values = list(run.values(faults))
    kept = [each for each in values if 0 <= each.step <= journal.MOST_STEP]
    branch = f"{_name(experiment or run.experiment)}/{_name(run.name)}"
    name = f"import-{hashlib.sha256(f'{run.key}/{branch}'.encode()).hexdigest()[:20]}"
    walls = [_wall(each.wall) for each in kept]
    begin = {
        "say": "begin",
        "format": journal.FORMAT,
        "run": name,
        "branch": branch,
        "config": {**run.config, "imported": run.key},
        "steps": None,
        "wall": min(walls, default=0.0),
        "host": "",
        "version": __version__,
    }
    names = _names([each.series for each in kept])
    series: dict[str, dict[int, Value]] = {}
    for each in kept:
        series.setdefault(names[each.series], {})[each.step] = each
    left_out = len(values) - len(kept)
    return StoredRun(name, branch, begin, series, left_out, run.end, max(walls, default=0.0), tuple(faults))


def _write(run: StoredRun, folder: Path) -> Imported:
    path = folder / f"{run.id}{journal.SUFFIX}"
    if path.exists():
        return _continued(run, path)
    draft = Journal(path.with_suffix(".part"))
    try:
        draft.clear()  # of what an import that was killed has left
        draft.append(run.begin)
        points = 0
        for record, count in records_of(run, run.beyond({})):
            draft.append(*record)
            points += count
        draft.close()
        draft.path.replace(path)
    except BaseException:
        draft.path.unlink(missing_ok=True)
        raise
    return Imported(path, run.branch, points, run.left_out, faults=run.faults)


def _continued(run: StoredRun, path: Path) -> Imported:
    """Add to a journal what its run has beyond it; an import that is killed in between is continued by the next."""
    told: dict[str, dict[int, float]] = {}
    end = ""
    kept = Journal(path)
    try:
        for record in records(path):
            if record.says == "points":
                points = journal.points_of(record)
                for name, values in zip(points.series, points.values.tolist(), strict=True):
                    told.setdefault(name, {}).update(zip(points.steps.tolist(), values, strict=True))
            elif record.says == "end":
                end = str(record.header.get("state", ""))
        count = 0
        for record_, points_ in records_of(run, run.beyond(told), ended=end):
            kept.append(*record_)
            count += points_
    finally:
        kept.close()
    return Imported(path, run.branch, count, run.left_out, known=True, faults=run.faults)


def records_of(
    run: StoredRun, values: Mapping[str, Sequence[Value]], *, ended: str = ""
) -> Iterator[tuple[tuple[dict[str, Any], bytes], int]]:
    """Yield records that tell values of a run, and how it ended, each with how many points it holds.

    ended: how it is said to have ended already; it is said once more only behind values, or where it is another now.
    """
    for name, several in values.items():
        for at in range(0, len(several), BLOCK_POINTS):
            part = several[at : at + BLOCK_POINTS]
            walls = [_wall(each.wall) for each in part]
            steps, numbers = [each.step for each in part], [each.value for each in part]
            yield journal.points([name], steps, [numbers], (min(walls), max(walls))), len(part)
    if run.end and (values or run.end != ended):
        yield ({"say": "end", "state": run.end, "message": "", "detail": "", "wall": run.ended}, b""), 0


def _wall(told: float) -> float:
    """Return a time that a journal can have; one that is none counts as not known."""
    return told if 0 <= told < journal.MOST_WALL else 0.0


def _same(told: float | None, value: float) -> bool:
    """Return whether a value was told, as a journal keeps it: as float32."""
    if told is None:
        return False
    with np.errstate(over="ignore"):
        kept = float(np.float32(value))
    return kept == told or (math.isnan(kept) and math.isnan(told))


def _names(series: list[str]) -> dict[str, str]:
    """Return the name that each series has here: its own where that can be, else one like it that no other has."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(series):
        new = name if not journal.name_fault(name) else _tame(name, journal.MOST_NAME)
        number = 2
        while new in found.values():
            new = f"{_tame(name, journal.MOST_NAME - 6)} {number}"
            number += 1
        found[name] = new
    return found


def _name(text: str) -> str:
    return _tame(text.replace("/", " "), MAX_NAME)


def _tame(text: str, most: int) -> str:
    """Return one line of at most ``most`` characters that can be shown, without commas."""
    plain = "".join(each if each.isprintable() else " " for each in text.replace(",", ";"))
    return re.sub(r"\s+", " ", plain).strip()[-most:].strip() or "unnamed"
