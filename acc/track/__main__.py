"""``acc``: runs of loops of one's own, from any shell. ACC_URL and ACC_TOKEN say which site, and who asks."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from acc.errors import AccError, InvalidInput
from acc.track.run import FOLDER
from acc.track.stores import import_runs
from acc.track.sync import Synced, sync

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="acc", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser(
        "sync", help="send runs that were tracked without a site; sent again, nothing happens twice"
    )
    verb.add_argument(
        "files", nargs="*", help="runs (.accrun) or folders of them; default: ACC_RUNS, else acc-runs"
    )
    _site(verb)
    verb = verbs.add_parser("import-runs", help="take over runs of TensorBoard or MLflow")
    verb.add_argument("path", help="a folder of event files, a folder mlruns, or MLflow's SQLite file")
    verb.add_argument("--experiment", default="", help="where they go; default: as the store names it")
    verb.add_argument("--folder", help="where their files are written; default: ACC_RUNS, else acc-runs")
    verb.add_argument("--only-files", action="store_true", help="send them later, by acc sync")
    _site(verb)
    return top


def _site(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--site", help="default: ACC_URL")
    verb.add_argument("--token", help="default: ACC_TOKEN, which no list of processes shows")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; return 0, 1 if some run was not read or sent whole, 2 for bad input."""
    given = parser().parse_args(arguments)
    try:
        told, faults = _do(given)
    except InvalidInput as error:
        _say(str(error), sys.stderr)
        return BAD_INPUT
    except AccError as error:
        _say(str(error), sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    for each in told:
        _say(str(each), sys.stderr if each.fault else sys.stdout)
    return FAILED if faults or any(each.fault for each in told) else DONE


def _do(given: argparse.Namespace) -> tuple[list[Synced], bool]:
    """Return what came of sending runs, and whether something of a store could not be read."""
    if given.verb == "sync":
        return sync(given.files, site=given.site, token=given.token), False
    folder = given.folder or os.environ.get("ACC_RUNS") or FOLDER
    made = import_runs(given.path, folder=folder, experiment=given.experiment)
    for each in made:
        _say(str(each), sys.stdout)
        for fault in each.faults:
            _say(f"{each.path}: {each.branch}: {fault}; the rest was imported", sys.stderr)
    faults = any(each.faults for each in made)
    if given.only_files or not (given.site or os.environ.get("ACC_URL")):
        return [], faults
    return sync([each.path for each in made], site=given.site, token=given.token), faults


def _say(line: str, stream: object) -> None:
    with suppress(BrokenPipeError):
        print(line, file=stream, flush=True)  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())
