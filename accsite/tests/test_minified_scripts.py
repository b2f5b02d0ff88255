"""Minified scripts mean what their sources mean: to a parser of JavaScript both are the same program."""

from __future__ import annotations

import json
import subprocess

import pytest
from playwright._impl._driver import compute_driver_executable

from accsite.minify import minified
from accsite.tests.modules import MODULES

pytestmark = pytest.mark.one_database

# Node carries a parser for its own use; what it says of a program, without the places, is what the program means.
DIFFERENT = """
const { parse } = require("internal/deps/acorn/acorn/dist/acorn");
const NOT_MEANT = new Set(["start", "end", "raw"]);
const asText = (value) => (value instanceof RegExp || typeof value === "bigint" ? `${value}` : value);
const plain = (key, value) => (NOT_MEANT.has(key) ? undefined : asText(value));
const meaning = (text) => JSON.stringify(parse(text, { ecmaVersion: "latest", sourceType: "module" }), plain);
const pairs = JSON.parse(require("fs").readFileSync(0, "utf8"));
const different = Object.entries(pairs).filter(([, [source, small]]) => meaning(source) !== meaning(small));
console.log(JSON.stringify(different.map(([name]) => name)));
"""


def different(pairs: dict[str, tuple[str, str]]) -> list[str]:
    """Return the names of those pairs of scripts, name -> source and minified, that are not the same program."""
    node = str(compute_driver_executable()[0])
    command = [node, "--expose-internals", "-e", DIFFERENT]
    done = subprocess.run(
        command, input=json.dumps(pairs), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def small(source: str) -> str:
    return minified("js/one.js", source.encode()).decode()


def test_every_script_of_ours_is_the_same_program_when_it_is_minified() -> None:
    sources = {path.name: path.read_text() for path in sorted(MODULES.glob("*.js"))}
    assert len(sources) > 40
    pairs = {
        name: (source, minified(f"js/{name}", source.encode()).decode()) for name, source in sources.items()
    }
    assert different(pairs) == []
    shorter = sum(len(small) for _, small in pairs.values()) / sum(map(len, sources.values()))
    assert shorter < 0.85


@pytest.mark.parametrize(
    "source",
    [
        'a = b.split(/; */).map((pair) => pair.split("="));\n',
        "if (/; x/.test(a)) b = 1;\n",
        "const f = (a) => /[/; ] {2}/.exec(a);\n",
        "const t = `a;  ${b  +  c}  ; \n  d`;\n",
        'const s = "a;  // b";  // c\n',
        "let a = 1\nlet b = a\n++b\n",
        "const a = b /* c */ / d / e;\n",
        "return_(a) ; { } /x; y/.test(b);\n",
    ],
)
def test_what_looks_like_code_within_a_text_or_a_pattern_is_kept(source: str) -> None:
    assert different({"one": (source, small(source))}) == []


def test_a_program_that_is_another_is_told_from_it() -> None:
    assert different({"one": ("a = /; x/;", "a = /;x/;"), "two": ("a\nb", "a;b")}) == ["one"]
