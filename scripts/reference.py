"""Writes the reference pages of the documentation from the product itself, while mkdocs builds (a hook of mkdocs.yml).

Nothing of it is kept in the repository: a page can say nothing that the code does not.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "accsite" / "settings"
METHODS = ("get", "post", "put", "patch", "delete")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add to the explanations each page of docs/ that the navigation does not name."""
    named = str(config.nav)
    section = next(part["Explanation"] for part in config.nav or () if "Explanation" in part)
    for page in sorted(Path(config.docs_dir).glob("*.md")):
        if f"'{page.name}'" not in named:
            title = page.read_text().partition("\n")[0].lstrip("# ")
            section.append({title: page.name})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference pages to what mkdocs builds."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files


def django_ready() -> None:
    """Set Django up, with the settings of the tests: a throw-away home, no services."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.test")
    import django
    from django.apps import apps

    if not apps.ready:
        django.setup()


def table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    head = [*headings]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(each) for each in line) + " |" for line in lines) + "\n"


def cell(value: object) -> str:
    """Return a value as it may stand in a table: on one line, without what would end the cell."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


# --- commands --------------------------------------------------------------------------------------------------


def commands() -> str:
    """Return the page of ``manage.py``'s commands, from their own parsers."""
    django_ready()
    from django.core.management import get_commands, load_command_class

    parts = [
        "# Commands\n",
        "`.venv/bin/python manage.py COMMAND`. With `--json` each prints one object a line on stdout and nothing "
        "else there. Exit status: 0 done, 1 failed, 2 bad input (told as `error: field: sentence`), 130 left by "
        "Ctrl-C. Tables are drawn on a terminal; elsewhere their cells are separated by tabs.\n",
    ]
    for name, app in sorted(get_commands().items()):
        if not app.startswith("accsite"):
            continue
        command = load_command_class(app, name)
        parser = command.create_parser("manage.py", name)
        inherited = {"--version", "-v", "--settings", "--pythonpath", "--traceback", "--no-color"}
        inherited |= {"--force-color", "--skip-checks", "-h"}
        parts += [f"## {name}\n", f"{command.help}\n", *arguments(parser, inherited)]
    return "\n".join(parts)


def arguments(parser: argparse.ArgumentParser, left_out: set[str]) -> Iterator[str]:
    """Yield the table of a parser's arguments, then those of its verbs."""
    rows = []
    for action in parser._actions:
        if left_out & {*action.option_strings} or isinstance(action, argparse._SubParsersAction):
            continue
        named = ", ".join(f"`{option}`" for option in action.option_strings)
        shown = named or f"`{action.metavar or action.dest}`"
        choices = f"; one of {', '.join(map(str, action.choices))}" if action.choices else ""
        text = (action.help or "") % {"default": action.default, "prog": parser.prog}
        rows.append((shown, text + choices))
    if rows:
        yield table(("argument", ""), rows)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help or "" for each in action._choices_actions}
            for verb, each in action.choices.items():
                yield f"### {parser.prog.split()[-1]} {verb}\n\n{helps.get(verb, '')}\n"
                yield from arguments(each, {"-h", "--json", "--user"})


# --- what is verified ----------------------------------------------------------------------------------------------


def verified() -> str:
    """Return the page of what ``manage.py verify`` does, from the lists that it works through."""
    django_ready()
    from accsite.apps.operations.verify_milestones import MILESTONES

    parts = [
        "# What is verified\n",
        "`manage.py verify all` does each of these lines on the running installation and says whether it held; "
        "`manage.py verify m3` those of one list. A line that the installation cannot do is skipped, and says why.\n",
    ]
    for name, milestone in MILESTONES.items():
        parts.append(f"## {name}: {milestone.title}\n")
        parts += [f"1. {text}" for text in milestone.promises()]
        parts.append("")
    return "\n".join(parts)


# --- API -------------------------------------------------------------------------------------------------------


def api() -> str:
    """Return the page of the API, from its OpenAPI schema."""
    django_ready()
    from django.core.management import call_command
    from drf_spectacular.generators import SchemaGenerator

    call_command("migrate", interactive=False, verbosity=0)  # parameters of plugins are read from their rows
    made: Any = SchemaGenerator
    generator = made(api_version="1")
    schema = generator.get_schema(request=None, public=True)
    parts = [
        "# API\n",
        "Everything that the pages do, under `/api/v1/`. Send `Authorization: Token …` ([more](../client.md)). Lists "
        "are paged by `limit` and `offset`. Errors are problem details (RFC 9457) with `errors` by field. A POST that "
        "starts work takes an `Idempotency-Key`. A running site shows all of it, with every schema, at `/api/docs/` "
        "and `/api/docs/redoc/`; the schema itself is `/api/v1/schema/`.\n",
    ]
    group = ""
    for path, methods in schema["paths"].items():
        first = path.removeprefix("/api/v1/").split("/")[0]
        if first != group:
            group = first
            parts.append(f"## {group or 'root'}\n")
        for method in METHODS:
            if method in methods:
                parts += operation(method, path, methods[method], schema["components"]["schemas"])
    return "\n".join(parts)


def operation(method: str, path: str, found: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    """Yield what one operation does, takes and answers."""
    yield f"### {method.upper()} {path}\n"
    if found.get("description"):
        yield " ".join(found["description"].split()).replace("<", "&lt;") + "\n"
    rows = [
        (f"`{each['name']}`", each["in"], each.get("description", ""))
        for each in found.get("parameters", ())
        if each["name"] not in {"limit", "offset"}
    ]
    for content in found.get("requestBody", {}).get("content", {}).values():
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        rows += [(f"`{key}`", "body", type_of(field)) for key, field in fields(schemas.get(name, {}))]
        break
    if rows:
        yield table(("parameter", "in", ""), rows)


def fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from schema.get("properties", {}).items()


def type_of(field: Mapping[str, Any]) -> str:
    """Return in a few words what a field takes."""
    kind = field.get("type") or field.get("$ref", "").rpartition("/")[2]
    words = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
    return f"{words}. {field['description']}" if field.get("description") else words


# --- settings --------------------------------------------------------------------------------------------------


def settings() -> str:
    """Return the page of environment variables, from the files that read them."""
    parts = [
        "# Settings\n",
        "All settings come from the environment; a value that cannot be read is an error at start. `embedded` is what "
        "`manage.py` takes by default, `production` what `DJANGO_SETTINGS_MODULE=accsite.settings.production` names "
        "([how to deploy](../deploy.md)).\n",
    ]
    for name, title in (("base", "Everywhere"), ("production", "In production")):
        parts += [
            f"## {title}\n",
            table(("variable", "default", ""), read_variables(SETTINGS / f"{name}.py")),
        ]
    return "\n".join(parts)


def read_variables(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and comment of each variable that a settings file reads."""
    text = path.read_text()
    lines = text.splitlines()
    for call in sorted(calls(ast.parse(text)), key=lambda each: each.lineno):
        values = [str(node.value) for node in call.args if isinstance(node, ast.Constant)]
        if call.func.attr == "require":  # type: ignore[attr-defined]
            for name in values:
                yield f"`{name}`", "must be set", ""
            continue
        shown = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
        default = f"`{ast.unparse(shown[-1])}`" if shown else "must be set"
        yield f"`{values[0]}`", default, comment_above(lines, call.lineno - 1)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls of ``env.…``."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "env"
            and node.func.attr != "note"
        ):
            yield node


def comment_above(lines: list[str], at: int) -> str:
    """Return the comment that ends above a line, also one above other settings that follow each other."""
    while at > 0 and lines[at - 1].strip() and not lines[at - 1].lstrip().startswith("#"):
        at -= 1
    found: list[str] = []
    while at > 0 and lines[at - 1].lstrip().startswith("#"):
        at -= 1
        found.insert(0, lines[at].lstrip("# "))
    return " ".join(found)


# --- plugins and Python ----------------------------------------------------------------------------------------


def plugins() -> str:
    """Return the page of the plugins that come with ACC, from their classes."""
    from acc.plugins import PluginRegistry

    registry = PluginRegistry(ROOT / "plugins")
    registry.scan()
    parts = ["# Plugins\n", "What comes with ACC. Yours lie beside them and show up when they are saved.\n"]
    for kind, title in (
        ("task", "Tasks"),
        ("generator", "Generators"),
        ("model", "Models"),
        ("method", "Methods"),
        ("metric", "Metrics of a whole checkpoint"),
        ("recipe", "Recipes"),
    ):
        parts.append(f"## {title}\n")
        for name, plugin in registry.classes(kind).items():  # type: ignore[arg-type]
            parts += [f"### {name}\n", inspect.cleandoc(plugin.description or plugin.label) + "\n"]
            rows = [
                (
                    f"`{param.name}`",
                    f"`{param.default!r}`",
                    ", ".join(map(str, param.choices)) if param.choices else limits(param),
                    f"{param.help}{f' ({param.unit})' if param.unit else ''}",
                )
                for param in plugin.params
            ]
            if rows:
                parts.append(table(("parameter", "default", "allowed", ""), rows))
    return "\n".join(parts)


def limits(param: Any) -> str:
    """Return the range of a number."""
    ends = [f"{end:g}" if end is not None else "" for end in (param.min, param.max)]
    return " to ".join(ends) if all(ends) else next((f"from {end}" for end in ends[:1] if end), "")


def python() -> str:
    """Return the page of ``acc.api``: each public name, its signature and docstring."""
    import acc.api

    names = sorted(acc.api.__all__, key=lambda name: (name[0].islower(), name))
    listed = "\n".join(f"::: {home(getattr(acc.api, name), name)}\n" for name in names)
    return (
        "# acc.api\n\nThe one import for plugin authors and notebooks. "
        f"What is not listed here may change without notice.\n\n{listed}"
    )


def home(value: Any, name: str) -> str:
    """Return where a public name is defined, as a path that its documentation is found by."""
    if inspect.ismodule(value):
        return value.__name__
    module = getattr(value, "__module__", "")
    own = module.partition(".")[0] == "acc" and hasattr(value, "__qualname__")
    return f"{module}.{value.__qualname__}" if own else f"acc.api.{name}"


def client() -> str:
    """Return the page of ``acc.client``."""
    import acc.client

    listed = "\n".join(f"::: acc.client.{name}\n" for name in acc.client.__all__)
    return f"# acc.client\n\nThe site from a program; [how to use it](../client.md).\n\n{listed}"


PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "verified": verified,
    "api": api,
    "settings": settings,
    "plugins": plugins,
    "python": python,
    "client": client,
}
