"""``acc``: runs of loops of one's own, from any shell. ACC_URL and ACC_TOKEN say which site, and who asks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress

from acc.errors import AccError, InvalidInput
from acc.track.sync import sync

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
    return top


def _site(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--site", help="default: ACC_URL")
    verb.add_argument("--token", help="default: ACC_TOKEN, which no list of processes shows")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; return 0, 1 if some run was not sent whole, 2 for bad input."""
    given = parser().parse_args(arguments)
    try:
        told = sync(given.files, site=given.site, token=given.token)
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
    return FAILED if any(each.fault for each in told) else DONE


def _say(line: str, stream: object) -> None:
    with suppress(BrokenPipeError):
        print(line, file=stream, flush=True)  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())
