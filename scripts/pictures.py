"""Does the tutorial from its first command to its last on a site of its own, and takes the documentation's pictures.

``make pictures``. A command of docs/tutorial.md that fails ends it with that command's output and status 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scripts.chromium import ensure
from scripts.setup import ROOT

TUTORIAL = ROOT / "docs" / "tutorial.md"
PICTURES = ROOT / "docs" / "images"
START_SECONDS, COMMAND_SECONDS, STOP_SECONDS = 180, 600, 90
SIZE = {"width": 1440, "height": 1060}
SETTLED_MS = 1500
LINK = re.compile(r"Open (http://\S+)")
COMMAND = re.compile(r"^ {4}\.venv/bin/python manage\.py (.+)$", re.MULTILINE)
SKIPPED = ("verify",)
"""It has a test of its own, which takes as long as all the others together."""


class Failed(Exception):
    """Something of the tutorial does not work; the message has what it said."""


@contextmanager
def demo(home: Path) -> Iterator[str]:
    """Run `manage.py demo` on an empty ACC_HOME; yield the link that it prints."""
    log = home / "demo.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", "8790"],
            cwd=ROOT,
            env={**os.environ, "ACC_HOME": str(home)},
            stdout=out,
            stderr=out,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not (found := LINK.search(log.read_text())):
            if process.poll() is not None or time.monotonic() > until:
                raise Failed(f"the demo did not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.2)
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        process.kill()


def commands() -> list[str]:
    """Return the tutorial's commands, as they stand there."""
    return [found for found in COMMAND.findall(TUTORIAL.read_text()) if not found.startswith(SKIPPED)]


def ask(home: Path, command: str) -> str:
    """Run one command and return what it printed; raises Failed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *shlex.split(command)],
        cwd=ROOT,
        env={**os.environ, "ACC_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Failed(f"manage.py {command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def walk(home: Path) -> None:
    """Do the tutorial, once its first job is done."""
    ask(home, "jobs follow 2")  # the demo's: it made the digits before
    head = ""
    for command in commands():
        started = time.monotonic()
        out = ask(home, command.replace("HEAD", head))
        if command.startswith("checkpoints list"):
            head = out.splitlines()[-1].split("\t")[0]
        print(f"{time.monotonic() - started:5.1f} s  manage.py {command}", flush=True)


def heads(home: Path) -> list[str]:
    """Return the newest checkpoints of the two branches that the tutorial compares."""
    rows = [line.split("\t") for line in ask(home, "checkpoints list digits").splitlines()[1:]]
    return [
        next(row[0] for row in reversed(rows) if row[2] == name) for name in ("digits-only", "with-thickness")
    ]


def touch_latent(page: Any) -> None:
    """Move the slider of thickness by keys, and wait for the film strip that follows."""
    if (newcomer := page.get_by_role("button", name="Show no next steps")).count():
        newcomer.click()
    slider = page.locator(".latent-group", has_text="thickness").locator("input[type=range]").first
    slider.focus()
    for _ in range(12):
        slider.press("ArrowRight")
    page.wait_for_timeout(SETTLED_MS)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")


def take(
    page: Any, name: str, where: str, *, ready: str, before: Callable[[Any], None] | None = None
) -> None:
    """Take a picture of a page once what ``ready`` selects is there and nothing more is loaded.

    ``before``: what is done on the page first.
    """
    page.goto(where)
    page.wait_for_selector(ready)
    page.wait_for_load_state("networkidle")
    if before is not None:
        before(page)
    page.screenshot(path=PICTURES / f"{name}.png")
    print(f"docs/images/{name}.png", flush=True)


def main() -> int:
    """Walk and take pictures; return the exit status."""
    from playwright.sync_api import sync_playwright

    argparse.ArgumentParser(prog="make pictures", description=__doc__).parse_args()
    home = Path(tempfile.mkdtemp(prefix="acc-pictures-"))
    try:
        with demo(home) as link, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(ensure()), args=["--no-sandbox"])
            page = browser.new_context(viewport=SIZE, color_scheme="light", locale="en-GB").new_page()  # type: ignore[arg-type]
            page.goto(link)
            site = link.partition("/sign-in")[0]
            walk(home)
            first, second = heads(home)
            bench = f"{site}/w/digits/with-thickness/"
            page.emulate_media(color_scheme="dark")
            take(page, "workbench-dark", bench, ready="#loss canvas", before=touch_latent)
            page.emulate_media(color_scheme="light")
            take(page, "workbench", bench, ready="#loss canvas", before=touch_latent)
            take(page, "tree", f"{site}/experiments/digits/", ready="#node, [role=tree]")
            take(page, "checkpoint", f"{site}/checkpoints/{second}/", ready="main img")
            take(page, "evaluate", f"{site}/evaluate/", ready="main table")
            take(page, "dataset", f"{site}/datasets/thickness/", ready="main img")
            take(page, "ufr", f"{site}/evaluate/{second}/ufr/", ready="main table")
            take(page, "compare", f"{site}/compare/?a={first}&b={second}", ready="main table")
            browser.close()
    except Failed as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
