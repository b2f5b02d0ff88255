"""What the documentation shows is so: its commands are taken, its code runs, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError

from acc.plugins import PluginRegistry

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
HOWTO = sorted((DOCS / "howto").glob("*.md"))
LONG = {"study.md": 20}
"""Seconds that the code of a page takes; what it says is also tried with fewer seeds and steps."""
COMMAND = re.compile(r"^ {4}(?:[A-Z_]+=\S+ )*(?:\S*python )?manage\.py +([a-z_]+)([^\n#`]*)", re.MULTILINE)
CODE = re.compile(r'^```python(?: title="plugins/([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands() -> Iterator[tuple[str, str, str]]:
    for page in PAGES:
        whole = page.read_text().replace("\\\n", "")  # a line that goes on in the next
        for command, rest in COMMAND.findall(whole):
            yield name(page), command, rest.strip()


@pytest.mark.parametrize(("page", "command", "rest"), list(commands()))
def test_a_command_that_is_shown_is_taken(page: str, command: str, rest: str):
    known = get_commands()
    assert command in known, f"{page}: there is no manage.py {command}"
    # A number stands where the page says what to put there; brackets and bars are the page's, not the shell's.
    words = ["1" if word == "HEAD" else word.strip("[]").split("|")[0] for word in shlex.split(rest)]
    parser = load_command_class(known[command], command).create_parser("manage.py", command)
    parser.called_from_command_line = False
    try:
        parser.parse_args(words)
    except CommandError as error:
        pytest.fail(f"{page}: manage.py {command} {rest}: {error}")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.long(LONG[page.name])] if page.name in LONG else [])
        for page in HOWTO
    ],
    ids=name,
)
def test_a_how_to_s_code_runs_and_its_plugins_load(page: Path, tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"__name__": "page"}
    for file, text in CODE.findall(page.read_text()):
        if file:
            path = tmp_path / "plugins" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        exec(compile(text, str(page), "exec"), space)  # a page is ours
    registry = PluginRegistry(tmp_path / "plugins")
    changes = registry.scan()
    assert [registry.errors[change.path] for change in changes if change.what == "broken"] == []
    assert len(changes) == len([file for file, _ in CODE.findall(page.read_text()) if file])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_link_to_a_file_leads_somewhere(page: Path):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if re.match(r"[a-z]+:", target) or "/reference/" in f"/{target}":  # the latter are made by mkdocs
            continue
        assert (page.parent / target).exists(), f"{name(page)} links to {target}, which is not there"


def test_every_picture_is_made_by_the_script_and_shown():
    made = set(re.findall(r'take\(page, "([\w-]+)"', (ROOT / "scripts" / "pictures.py").read_text()))
    assert {path.stem for path in (DOCS / "images").iterdir()} == made
    shown = "".join(page.read_text() for page in PAGES)
    assert [name for name in made if not re.search(rf"images/{name}\.png[)\"]", shown)] == []


def test_the_glossary_has_every_word_of_the_architecture():
    table = (DOCS / "architecture.md").read_text().partition("## Words")[2].partition("##")[0]
    words = re.findall(r"^\| \*\*(\w+)", table, re.MULTILINE)
    glossary = (DOCS / "glossary.md").read_text()
    assert len(words) > 8
    assert [word for word in words if f"\n**{word}**\n:   " not in glossary] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_site_builds_without_a_warning(tmp_path: Path):
    mkdocs = shutil.which("mkdocs", path=str(Path(sys.executable).parent))
    if mkdocs is None:
        pytest.fail("mkdocs is not installed; `make setup` installs it with the tools of development")
    site = tmp_path / "site"
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("ACC_", "DATABASE"))
    }
    done = subprocess.run(
        [mkdocs, "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT,
        env={**environment, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page, words in {
        "commands": ("manage.py", "watch_plugins", "--stop-on-interrupt"),
        "api": ("POST /api/v1/jobs/", "Idempotency-Key"),
        "verified": ("m5: forks", "UFR is higher where thickness was learned"),
        "settings": ("ACC_DEVICES", "SECRET_KEY", "ACC_PROXIES"),
        "plugins": ("LeakageTask", "FactorGrid", "FactorSlotAutoencoder", "Quickstart"),
        "python": ("FactoringEvaluator", "compute_loss"),
        "client": ("follow",),
    }.items():
        text = (site / "reference" / f"{page}.html").read_text()
        assert [word for word in words if word not in text] == []
    assert not [each for each in site.rglob("*.html") if "fonts.googleapis.com" in each.read_text()]
