"""Sends runs from their files to a site: what it does not have, once, however often it is asked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from acc import journal
from acc.errors import AccError, InvalidInput
from acc.track import file as files
from acc.track.sender import Delivery, transport_to


@dataclass(frozen=True)
class Synced:
    """What came of sending one run. job: its number on the site, 0 if it was not taken; fault: why not all was."""

    path: Path
    branch: str = ""
    job: int = 0
    state: str = ""
    points: int = 0
    checkpoints: int = 0
    anything: bool = False
    fault: str = ""

    def __str__(self) -> str:
        """Return the line that tells it."""
        where = f"{self.path}: {self.branch}" if self.branch else f"{self.path}"
        if self.fault:
            return f"{where}: not all was sent: {self.fault}"
        sent = f"{self.points:,} points" + (
            f" and {self.checkpoints} checkpoints" if self.checkpoints else ""
        )
        return f"{where}, job {self.job}, {self.state.lower()}: " + (
            f"sent {sent}" if self.anything else "nothing new"
        )


def sync(
    paths: Iterable[str | Path] = (), *, site: str | None = None, token: str | None = None
) -> list[Synced]:
    """Send runs to a site and return what came of each, in order; what it has already is not sent again.

    paths: journals, or folders of them; none: ACC_RUNS, else ``acc-runs``. site, token: by default ACC_URL and
    ACC_TOKEN. One that fails does not keep the others. Raises InvalidInput for a path that is not there, and without a
    site or a token.
    """
    site, token = site or os.environ.get("ACC_URL", ""), token or os.environ.get("ACC_TOKEN", "")
    if not site:
        raise InvalidInput(site="say to which site: --site http://127.0.0.1:8000, or set ACC_URL")
    if not token:
        raise InvalidInput({"token": "the site needs one: --token acc_..., or set ACC_TOKEN"})
    transport = transport_to(site, token)
    return [_sync(path, Delivery(path, transport)) for path in found(paths)]


def found(paths: Iterable[str | Path]) -> list[Path]:
    """Return the journals that are meant; raises InvalidInput for a path that is not there, or a folder without any."""
    from acc.track.run import FOLDER

    journals: list[Path] = []
    for path in [Path(each) for each in paths] or [Path(os.environ.get("ACC_RUNS") or FOLDER)]:
        here = sorted(path.glob(f"*{journal.SUFFIX}")) if path.is_dir() else [path] if path.is_file() else []
        if not here:
            raise InvalidInput(
                files=f"{str(path)!r} is neither a run ({journal.SUFFIX}) nor a folder that holds any"
            )
        journals += here
    return journals


def _sync(path: Path, delivery: Delivery) -> Synced:
    branch = ""
    try:
        branch = str(files.first(path).header.get("branch", ""))
        # What its loop goes on writing to is running; what nobody writes is as its file says.
        anything = delivery.give(live=files.is_written(path))
    except (AccError, OSError) as error:
        return Synced(path, branch, delivery.job, fault=str(error), points=delivery.points)
    return Synced(
        path, branch, delivery.job, delivery.state, delivery.points, delivery.checkpoints, anything=anything
    )
