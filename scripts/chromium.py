"""Finds a Chromium for the browser test: the machine's own, Debian's package, or Playwright's download."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL_SECONDS = 300


class NoChromium(Exception):
    """There is no browser and none could be installed; the sentence says what to do."""


def find() -> Path | None:
    """Return the browser named by ACC_CHROMIUM, else the first of NAMES on PATH, else None."""
    named = os.environ.get("ACC_CHROMIUM")
    if named:
        if not Path(named).is_file():
            raise NoChromium(f"ACC_CHROMIUM is {named!r}, which is not a file; name a Chromium executable")
        return Path(named)
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    return None


def ensure() -> Path:
    """Return a browser, installing one if need be; raises NoChromium."""
    found = find() or from_debian() or from_playwright()
    if found is None:
        raise NoChromium(
            "no Chromium on PATH, and neither apt-get nor Playwright could install one; "
            "install chromium, or name an executable in ACC_CHROMIUM"
        )
    return found


def from_debian() -> Path | None:
    """Return the browser of `apt-get install chromium`, or None where that does not work."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    print("browser: none found; trying apt-get install chromium", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
    for command in (install, ["apt-get", "update"], install):
        if quietly(command, env) == 0 and command is install:
            return find()
    return None


def from_playwright() -> Path | None:
    """Return the browser that Playwright downloads, or None where that does not work."""
    print("browser: trying Playwright's own", flush=True)
    if quietly([sys.executable, "-m", "playwright", "install", "chromium"], dict(os.environ)) != 0:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.is_file() else None


def quietly(command: list[str], env: dict[str, str]) -> int:
    """Return the exit status of ``command``, run without output; 1 if it takes too long."""
    try:
        done = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1
    return done.returncode
