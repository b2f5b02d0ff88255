"""Refuses lines of templates, scripts and styles that people cannot read: too long, or two declarations in one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 120
FOLDERS = ("accsite", "docs", "tests")
KINDS = {".html", ".js", ".css"}
VENDORED = "vendor"


def complaints(root: Path = ROOT) -> Iterator[str]:
    """Yield ``path:line: what is wrong`` for each line of our templates, scripts and styles that is refused."""
    for path in sorted(files(root)):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.relative_to(root)}:{number}"
            if len(line) > LIMIT:
                yield f"{where}: {len(line)} characters; at most {LIMIT} are allowed"
            if path.suffix == ".css" and line.count(";") > 1:
                yield f"{where}: more than one declaration; each has a line of its own"


def files(root: Path) -> Iterable[Path]:
    """Return the templates, scripts and styles under ``root`` but for those that others wrote."""
    found = (path for folder in FOLDERS for path in (root / folder).rglob("*.*"))
    return [path for path in found if path.suffix in KINDS and VENDORED not in path.parts]


def main() -> int:
    """Print the complaints; return 1 if there are any."""
    found = list(complaints())
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
