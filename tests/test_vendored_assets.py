"""Vendored browser libraries are exactly the published files: the lock file names each one and its hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = [
    ROOT / "accsite" / "static" / "vendor" / "vendor.lock.json",
    ROOT / "tests" / "e2e" / "vendor" / "vendor.lock.json",
]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_vendored_file_has_the_hash_of_its_lock(lock: Path) -> None:
    locked = {
        f"{library['folder']}/{name}": sha256
        for library in json.loads(lock.read_text())["libraries"]
        for name, sha256 in library["files"].items()
    }
    found = {
        str(path.relative_to(lock.parent)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in lock.parent.rglob("*")
        if path.is_file() and path != lock
    }
    assert found == locked


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_vendored_library_comes_with_its_licence(lock: Path) -> None:
    for library in json.loads(lock.read_text())["libraries"]:
        assert library["licence"]
        assert "LICENSE" in library["files"], f"{library['name']} has no licence file"
