"""What is said live is said once: scripts, sender and reader agree field by field, and what is not so is refused."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints
from typing import NotRequired as NotRequiredToo

import pytest
from typing_extensions import is_typeddict

from acc import messages
from acc.training import protocols

JS = Path(__file__).resolve().parents[2] / "accsite" / "static" / "js"
SAID_TO_SCRIPTS = {
    "ToPage": messages.ToPage,
    "Watch": messages.Watch,
    "Frame": messages.Frame,
    "LossHistory": messages.LossHistory,
    "LatentQuestion": messages.LatentQuestion,
    "LatentAnswer": messages.LatentAnswer,
}
PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", NoneType: "null", Any: "any"}
OPTIONAL = (NotRequired, NotRequiredToo)

Typedefs = dict[str, str | dict[str, str]]


def in_jsdoc(kind: Any) -> str:  # noqa: PLR0911 - one for each form
    """Return how JSDoc writes a type of Python."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if is_typeddict(kind):
        return str(kind.__name__)
    if origin in {Union, UnionType}:
        return " | ".join(map(in_jsdoc, arguments))
    if origin is Literal:
        return " | ".join(f'"{value}"' for value in arguments)
    if origin is list:
        inner = in_jsdoc(arguments[0])
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if origin is dict and arguments[0] is str:
        return f"Object<string, {in_jsdoc(arguments[1])}>"
    if origin is tuple and ... not in arguments:
        return f"[{', '.join(map(in_jsdoc, arguments))}]"
    raise AssertionError(f"JSDoc has no word for {kind!r} yet")


def of_python() -> Typedefs:
    """Return what scripts are sent and send, as Python says it."""
    found: Typedefs = {}
    left = list(SAID_TO_SCRIPTS.items())
    while left:
        name, kind = left.pop()
        if name in found:
            continue
        if not is_typeddict(kind):
            found[name] = in_jsdoc(kind)
            left += [(each.__name__, each) for each in get_args(kind)]
            continue
        said = found[name] = {}
        for field, hint in get_type_hints(kind, include_extras=True).items():
            optional = get_origin(hint) in OPTIONAL
            plain = get_args(hint)[0] if optional else hint
            said[f"[{field}]" if optional else field] = in_jsdoc(plain)
            left += [(each.__name__, each) for each in within(plain) if is_typeddict(each)]
    return found


def within(kind: Any) -> list[Any]:
    """Return a type and the types that it is made of."""
    return [kind, *(each for argument in get_args(kind) for each in within(argument))]


def of_scripts(text: str) -> Typedefs:
    """Return the typedefs of a script; fails on a line that it does not understand, so that nothing is passed over."""
    found: Typedefs = {}
    for comment in re.findall(r"/\*\*(.*?)\*/", text, re.DOTALL):
        lines = " ".join(line.strip().removeprefix("*").strip() for line in comment.splitlines())
        tags = re.split(r"\s*@(?=typedef|property)", lines)[1:]
        head = re.fullmatch(r"typedef \{(.*)\} (\w+)", tags[0].strip())
        assert head is not None, tags[0]
        if head[1] != "Object":
            found[head[2]] = re.sub(r"\s+", " ", head[1])
            assert len(tags) == 1, comment
            continue
        said = found[head[2]] = {}
        for tag in tags[1:]:
            field = re.fullmatch(r"property \{(.*)\} (\w+|\[\w+\])", tag.strip())
            assert field is not None, tag
            said[field[2]] = re.sub(r"\s+", " ", field[1])
    return found


def test_scripts_say_of_every_message_what_python_says():
    assert of_scripts((JS / "messages.js").read_text()) == of_python()


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("@property {number} version", "@property {string} version"),
        ("@property {number} version", ""),
        ("@property {number} [job]", "@property {number} job"),
        ("@typedef {Object} Ping", "@typedef {Object} Pong"),
        ("Pulse | Ping", "Ping | Pulse"),
    ],
)
def test_a_script_that_says_something_else_is_found_out(said, instead):
    text = (JS / "messages.js").read_text()
    assert said in text
    assert of_scripts(text.replace(said, instead, 1)) != of_python()


READ = [
    ("live.js", r"versions: \(\{ (.*?) \}\)", "Versions"),
    ("live.js", r"signal: \(\{ (.*?) \}\)", "Signal"),
    ("app.js", r'"acc:job", \(\{ detail: \{ (.*?) \} \}\)', "JobUpdate"),
    ("app.js", r"const \{ (.*?) \} = header;", "Frame"),
    ("devices.js", r'"acc:pulse", \(\{ detail: \{ (.*?) \} \}\)', "Pulse"),
    ("points.js", r"const \{ (.*?) \} = frame\.header;", "Frame"),
    ("points.js", r"note\(\{ (.*?) \}\)", "Frame"),
    ("points.js", r"note\(\{ (.*?) \}\)", "LossHistory"),
    ("points.js", r"write\(\{ header: \{ (.*?) \}", "LossHistory"),
]


@pytest.mark.parametrize(("script", "pattern", "kind"), READ)
def test_what_a_script_reads_of_a_message_is_in_it(script, pattern, kind):
    found = re.search(pattern, (JS / script).read_text())
    assert found is not None, f"{script} reads {kind} in another way by now: say here how"
    read = {name.split(":")[0].strip() for name in found[1].split(",")}
    assert read <= set(of_python()[kind])


@pytest.mark.parametrize(
    ("said", "dataclass", "tag"),
    [
        (messages.Command, protocols.Command, set()),
        (messages.Answer, protocols.CommandResult, {"say"}),
        (messages.Alarm, protocols.Alarm, {"say"}),
        (messages.Baseline, protocols.Baseline, {"say", "task"}),
    ],
)
def test_what_the_trainer_says_travels_whole(said, dataclass, tag):
    told = {field.name for field in fields(dataclass)} - {"metrics"}  # which only an evaluation asks for
    assert set(get_type_hints(said)) == told | tag


PING = {"type": "ping", "time": 1.5}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (messages.ToPage, {"type": "ping"}),
        (messages.ToPage, {**PING, "more": 1}),
        (messages.ToPage, {**PING, "time": "1.5"}),
        (messages.ToPage, {**PING, "time": float("nan")}),
        (messages.ToPage, {**PING, "type": "shout"}),
        (messages.Signal, {"type": "signal", "topic": "a", "version": 1, "data": {"index": 1}}),
        (messages.PAYLOADS["set_lr"], {"lr": 0.1, "task": "a"}),
        (messages.PAYLOADS["pause"], {"lr": 0.1}),
        (messages.Record, {"say": "block"}),
        (messages.Record, {"say": "nothing"}),
    ],
)
def test_a_message_that_is_not_as_it_is_said_is_refused(kind, message):
    with pytest.raises(messages.BadMessage):
        messages.checked(kind, message)


def test_a_refusal_names_the_field():
    with pytest.raises(messages.BadMessage, match="time"):
        messages.checked(messages.ToPage, {"type": "ping"})


def test_messages_that_are_right_pass_as_they_are():
    assert messages.checked(messages.ToPage, PING) is PING
    pulse = {
        "type": "pulse",
        "topic": "workers",
        "data": {"1": {"seen": 0, "figures": {"load": ("1", None)}}},
    }
    assert messages.checked(messages.ToPage, pulse) is pulse


def test_outside_of_tests_nothing_is_checked(monkeypatch):
    assert messages.CHECKED, "the suite checks"
    monkeypatch.setattr(messages, "CHECKED", False)
    assert messages.checked(messages.ToPage, {"type": "shout"}) == {"type": "shout"}
