"""Runs the loads one after the other, a few minutes in all, and prints their rows as one table."""

from __future__ import annotations

import argparse

from benchmarks.__main__ import run, table
from benchmarks.rows import machine

LOADS = ("watchers", "jobs", "workers")


def main(arguments: list[str] | None = None) -> None:
    """Run the loads named (all by default) and print machine, versions and table."""
    parser = argparse.ArgumentParser(prog="make load ARGS=", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"default: {' '.join(LOADS)}")
    chosen = parser.parse_args(arguments).names or list(LOADS)
    unknown = sorted(set(chosen) - set(LOADS))
    if unknown:
        parser.error(f"no load {', '.join(unknown)}; there are {', '.join(LOADS)}")
    before = machine()
    rows = [row for name in chosen for row in run(f"load.{name}")]
    print(f"{before}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
