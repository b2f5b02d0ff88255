"""Writes constraints.txt from what .venv holds: all but torch and ACC itself, which pyproject.toml pins."""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

from scripts.setup import ROOT, cuda_packages, normal

HEADER = (
    "# What a set-up installs besides torch, pinned so that builds repeat (`make constraints` renews it).\n"
)
LEFT_OUT = {"acc", "torch", "pip", "setuptools", "wheel"}


def pins() -> list[str]:
    """Return ``name==version`` for each installed distribution that builds must repeat, sorted."""
    held = {normal(item.metadata["Name"]): item.version for item in distributions()}
    skip = LEFT_OUT | set(cuda_packages(held))
    return sorted(f"{name}=={version}" for name, version in held.items() if name not in skip)


def main(path: Path = ROOT / "constraints.txt") -> None:
    path.write_text(HEADER + "\n".join(pins()) + "\n")


if __name__ == "__main__":
    main()
