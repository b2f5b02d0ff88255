"""Runs the benchmarks one after the other and prints their rows as one table."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.rows import Row, machine, read

HERE = Path(__file__).resolve().parent
NOT_BENCHMARKS = {"__init__", "__main__", "bare_loop", "browser", "editors", "platform_under_test", "rows"}
NEED_GPU = {"gpu"}
SLOW = {"coverage"}
MOST_SECONDS = 20 * 60
MOST_SECONDS_OF_SLOW = 60 * 60
GOODBYE_SECONDS = 60


def names() -> list[str]:
    """Return the benchmarks there are, by file name."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_BENCHMARKS)


def usual() -> list[str]:
    """Return the benchmarks that any machine can run in minutes; those that take longer are named to be run."""
    return [name for name in names() if name not in NEED_GPU | SLOW]


def run(name: str) -> list[Row]:
    """Return the rows of one benchmark; raises SystemExit if it breaks, since half a table misleads."""
    started = time.monotonic()
    print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
    most = MOST_SECONDS_OF_SLOW if name in SLOW else MOST_SECONDS
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    with subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True) as running:
        try:
            output, _ = running.communicate(timeout=most)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)  # upon which it ends what it has started
            with suppress(subprocess.TimeoutExpired):
                running.communicate(timeout=GOODBYE_SECONDS)
            running.kill()
            raise SystemExit(f"benchmark {name} did not end in {most // 60} minutes") from None
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    rows = read(output)
    if running.returncode or not rows:
        print(output, file=sys.stderr)
        raise SystemExit(f"benchmark {name} ended with status {running.returncode} and {len(rows)} rows")
    return rows


def figure(value: float) -> str:
    """Return a number with three significant digits or more, in plain digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(rows: list[Row]) -> str:
    """Return the rows as an aligned table."""
    head = ("row", "value", "goal", "", "measured", "baseline of the same run")
    cells = [head] + [
        (
            row.name,
            f"{figure(row.value)} {row.unit}",
            f"{'>=' if row.better == 'higher' else '<='} {figure(row.goal)} {row.unit}",
            "ok" if row.met else "MISSED",
            row.measured,
            row.baseline,
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "-" * max(len(line) for line in lines), *lines[1:]])


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmarks named (all by default) and print machine, versions and table."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"default: {' '.join(usual())}")
    chosen = parser.parse_args(arguments).names or usual()
    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names())}")
    # What a shell runs in the background ignores it, and so would each benchmark, which ``run`` ends by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rows = [row for name in chosen for row in run(name)]
    print(f"{machine()}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
