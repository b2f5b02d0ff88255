"""Runs that other trackers kept, as journals: event files of TensorBoard, and stores of MLflow (files or SQLite).

The same store gives the same journals, so that one which is imported again, or sent from two places, is one run.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from acc import journal
from acc.errors import AccError, InvalidInput
from acc.names import MAX_NAME
from acc.track.file import Journal
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


@dataclass
class Found:
    """A run of another tracker. key: what it is called there; end: how it ended, empty where nothing says."""

    key: str
    experiment: str
    name: str
    values: Callable[[], Iterator[Value]]
    config: dict[str, Any] = field(default_factory=dict)
    end: str = ""


@dataclass(frozen=True)
class Imported:
    """What came of one run. path: its journal; points: values taken over; left_out: those that it cannot have."""

    path: Path
    branch: str
    points: int = 0
    left_out: int = 0
    known: bool = False

    def __str__(self) -> str:
        """Return the line that tells it."""
        if self.known:
            return f"{self.path}: {self.branch}, was imported before"
        rest = f", {self.left_out:,} left out: their steps are below 0" if self.left_out else ""
        return f"{self.path}: {self.branch}, {self.points:,} points{rest}"


def import_runs(path: str | Path, *, folder: str | Path, experiment: str = "") -> list[Imported]:
    """Write each run of a store as a journal into ``folder`` and return what came of each; `acc sync` sends them.

    path: a folder with event files of TensorBoard somewhere in it, or one of those files; a folder of MLflow's file
    store (``mlruns``); or its SQLite file. experiment: the name of the experiment they go to, by default that of the
    store's own experiment, or of the folder. A run that was imported before is passed over. Raises InvalidInput for
    what holds no runs, AccError where a package is missing, with the command that installs it.
    """
    path = Path(path)
    runs = list(_runs(path))
    if not runs:
        raise InvalidInput(
            path=f"{str(path)!r} holds no runs; give a folder of TensorBoard's event files, MLflow's folder mlruns, "
            "or its SQLite file"
        )
    return [_write(run, Path(folder), experiment) for run in runs]


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
    return Found(key, experiment, name, lambda: _events(files))


def _events(files: list[Path]) -> Iterator[Value]:
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError:
        raise AccError(
            "event files are read by a package that is missing: pip install 'acc[tensorboard]'"
        ) from None
    for file in files:
        plugins: dict[str, str] = {}  # of a tag, told by its first value alone
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                plugin = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
                if plugin == "scalars" and value.HasField("tensor"):
                    array = make_ndarray(value.tensor)
                    if array.size == 1:
                        yield Value(
                            value.tag, int(event.step), float(event.wall_time), float(array.reshape(()))
                        )


# --- MLflow -----------------------------------------------------------------------------------------------


def _from_mlruns(root: Path) -> Iterator[Found]:
    for experiment in _folders(root):
        named = _meta(experiment)
        for run in _folders(experiment):
            told = _meta(run)
            if not named or "run_id" not in told:
                continue
            params = {each.name: each.read_text() for each in _files(run / "params")}
            name = told.get("run_name") or told["run_id"]
            yield Found(
                f"mlflow/{told['run_id']}",
                named.get("name", experiment.name),
                name,
                lambda run=run: _metrics(run / "metrics"),  # type: ignore[misc]
                params,
                ENDS.get(told.get("status", ""), ""),
            )


def _metrics(folder: Path) -> Iterator[Value]:
    for file in _files(folder):
        for line in file.read_text().splitlines():
            words = line.split()
            if len(words) >= 2:
                name = file.relative_to(folder).as_posix()
                yield Value(
                    name, int(words[2]) if len(words) > 2 else 0, int(words[0]) / 1000, float(words[1])
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
            lambda run=run: _sqlite_metrics(path, run),  # type: ignore[misc]
            params.get(run, {}),
            ENDS.get(status, ""),
        )


def _sqlite_metrics(path: Path, run: str) -> Iterator[Value]:
    database = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
    try:
        query = "SELECT key, step, timestamp, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY timestamp, step"
        for key, step, timestamp, value, is_nan in database.execute(query, (run,)):
            yield Value(key, int(step), timestamp / 1000, float("nan") if is_nan else float(value))
    finally:
        database.close()


def _folders(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else []


def _meta(folder: Path) -> dict[str, str]:
    """Return the plain fields of MLflow's meta.yaml, which holds a name and a value a line."""
    try:
        lines = (folder / "meta.yaml").read_text().splitlines()
    except OSError:
        return {}
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


def _write(run: Found, folder: Path, experiment: str) -> Imported:
    values = list(run.values())
    kept = [each for each in values if 0 <= each.step <= journal.MOST_STEP]
    branch = f"{_name(experiment or run.experiment)}/{_name(run.name)}"
    path = (
        folder / f"import-{hashlib.sha256(f'{run.key}/{branch}'.encode()).hexdigest()[:20]}{journal.SUFFIX}"
    )
    if path.exists():
        return Imported(path, branch, known=True)
    draft = Journal(path.with_suffix(".part"))
    try:
        draft.clear()  # of what an import that was killed has left
        _append(draft, run, branch, path.stem, kept)
        draft.close()
        draft.path.replace(path)
    except BaseException:
        draft.path.unlink(missing_ok=True)
        raise
    return Imported(path, branch, len(kept), len(values) - len(kept))


def _append(draft: Journal, run: Found, branch: str, name: str, kept: list[Value]) -> None:
    names = _names([each.series for each in kept])
    first = min((each.wall for each in kept), default=0.0)
    last = max((each.wall for each in kept), default=first)
    draft.append(
        {
            "say": "begin",
            "format": journal.FORMAT,
            "run": name,
            "branch": branch,
            "config": {**run.config, "imported": run.key},
            "steps": None,
            "wall": max(0.0, first),
            "host": "",
            "version": __version__,
        }
    )
    by_series: dict[str, list[Value]] = {}
    for each in kept:
        by_series.setdefault(names[each.series], []).append(each)
    for series, values in by_series.items():
        for at in range(0, len(values), BLOCK_POINTS):
            part = values[at : at + BLOCK_POINTS]
            walls = (min(max(0.0, each.wall) for each in part), max(max(0.0, each.wall) for each in part))
            header, data = journal.points(
                [series], [each.step for each in part], [[each.value for each in part]], walls
            )
            draft.append(header, data)
    if run.end:
        draft.append({"say": "end", "state": run.end, "message": "", "detail": "", "wall": max(0.0, last)})


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
