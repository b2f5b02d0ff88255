"""Runs again everything that led to a checkpoint, in memory, and compares bit by bit.

``python -m workers.replay ID [--json] [--current-plugins]``; exit status 0 the same, 1 they differ, 2 cannot.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict


def main(arguments: list[str] | None = None) -> int:
    """Replay one checkpoint, print the verdict, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workers.replay", description=__doc__)
    parser.add_argument("checkpoint", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--current-plugins", action="store_true")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
    import django

    django.setup()
    from accsite.apps.training.models import Checkpoint
    from workers.replay.rerun import CANNOT, STATUS, Verdict, replay

    found = Checkpoint.objects.filter(pk=options.checkpoint).first()
    if found is None:
        verdict = Verdict(CANNOT, f"there is no checkpoint {options.checkpoint}", options.checkpoint)
    else:
        verdict = replay(found, current_plugins=options.current_plugins)
    if options.json:
        print(json.dumps(asdict(verdict)))  # noqa: T201 - the command's answer
    else:
        print(verdict.message)  # noqa: T201
        for name, value in verdict.changes.items():
            print(f"  changed {name}: {value}")  # noqa: T201
    return STATUS[verdict.verdict]


if __name__ == "__main__":
    sys.exit(main())
