"""Names that people give to things: one rule for all of them. Torch-free.

A name is any line of text that can be shown, in any script. Addresses, keys and files are made from names, never
the other way round.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator

from acc.errors import InvalidInput

MAX_NAME = 80
_JOINERS = {"\u200c", "\u200d"}  # between letters of some scripts, and between the parts of an emoji
_SHOWN = 20


def clean_name(name: Any, *, field: str = "name", most: int = MAX_NAME) -> str:
    """Return ``name`` as it is kept: in Unicode's composed form (NFC), blanks as spaces, none outside.

    Raises InvalidInput (``field``) unless it is one line of 1 to ``most`` characters that can be shown.
    """
    if not isinstance(name, str):
        raise InvalidInput({field: f"{name!r} is not text"})
    text, problem = _cleaned(name, most)
    if problem:
        raise InvalidInput({field: problem})
    return text


def same_name(name: str) -> str:
    """Return a key that two names share if people would take them for the same: capitals do not tell them apart."""
    return unicodedata.normalize("NFKC", name).casefold()


def letters(name: str) -> str:
    """Return what is left of the name of a class whatever its spelling: ``BetaVAE`` and ``beta-vae`` are one."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def listed(text: str) -> list[str]:
    """Return the names of a list with commas; one that holds a comma stands in quotes, or all in JSON's brackets."""
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, list):
            return [str(each) for each in found]
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    return [cell.strip() for row in rows for cell in row if cell.strip()]


def paired(text: str) -> dict[str, str]:
    """Return ``a=b,c=d`` as a dict; names that hold a comma or = stand in JSON. Raises ValueError."""
    if text.lstrip().startswith("{"):
        found = json.loads(text)
        if isinstance(found, dict):
            return {str(name): str(value) for name, value in found.items()}
    pairs = [word.split("=") for word in listed(text)]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise ValueError(
            f"{text!r} does not say who holds what; write concept=group,concept=group, "
            'or {"concept": "group"} for names with a comma or ='
        )
    return {concept.strip(): group.strip() for concept, group in pairs}


def _cleaned(name: str, most: int) -> tuple[str, str]:
    """Return the name as it is kept, and what is wrong with it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "", f"{name!r} holds half of a character; write it anew"
    spaced = "".join(" " if unicodedata.category(each) == "Zs" else each for each in name)
    text = unicodedata.normalize("NFC", spaced).strip()
    if not text:
        return "", "a name is needed; it was empty"
    if len(text) > most:
        return "", f"{text[:_SHOWN] + '…'!r} has {len(text)} characters; at most {most} are allowed"
    if not all(each.isprintable() or each in _JOINERS for each in text) or set(text) <= _JOINERS | {" "}:
        return "", f"{text!r} has characters that cannot be shown; use letters, digits and signs on one line"
    return text, ""


def _validated(name: str) -> str:
    text, problem = _cleaned(name, MAX_NAME)
    if problem:
        raise ValueError(problem)
    return text


Name = Annotated[str, AfterValidator(_validated)]
"""A name as a field of a specification."""
