"""Text of other people's code, made fit to be kept and shown: of bounded length, without what breaks a database.

What a plugin says (the text of an exception, a name, a line that it prints) may be 100 kB long, hold NUL, which no
PostgreSQL text may, or half of a surrogate pair, which no UTF-8 can; its ``__str__`` may itself raise. Torch-free.
"""

from __future__ import annotations

import math
import re
import traceback
import unicodedata
from typing import Any

from acc.errors import AccError

SENTENCE_CHARS = 2_000
"""So long a sentence for the user may be; what is in the middle of a longer one is left out."""
DETAIL_CHARS = 20_000
"""The same for a traceback, or what a plugin printed."""

UNSHOWABLE = "\N{REPLACEMENT CHARACTER}"
# Colours and cursor movements of terminals: CSI sequences, OSC strings, and the other two-character ones.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_BREAKS = re.compile(r"\r+\n|\r+")
_BREAKING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""The Unicode categories of what is not drawn, or changes how its neighbours are."""


def clean(text: str, limit: int = SENTENCE_CHARS) -> str:
    """Return ``text`` as it can be kept and shown, with at most ``limit`` characters.

    Escape sequences of terminals are taken out, other control characters and lone surrogates are replaced. What is
    too much is left out of the middle, since a traceback begins with where and ends with what; the text says how
    much that is. Text that is clean already comes back as it is.
    """
    text = str.__str__(text)  # of a subclass, what it holds and not what it says
    if len(text) > limit:
        text = _shortened(text, limit)
    if _BREAKING.search(text) is None:
        return text
    return _BREAKING.sub(UNSHOWABLE, _BREAKS.sub("\n", _ESCAPES.sub("", text)))


def visible(source: str) -> str:
    """Return source code as it has to be read: what is not seen, or turns what follows, stands as its escape.

    Boucher and Anderson 2023, "Trojan Source": marks of writing direction make code look like other code.
    """
    return "".join(
        each if each in "\n\t" or unicodedata.category(each) not in _UNSEEN else ascii(each)[1:-1]
        for each in source.replace("\r\n", "\n")
    )


def clean_data(value: Any, limit: int = SENTENCE_CHARS) -> Any:
    """Return plain data with every text in it, keys included, made ``clean``; a number that JSON has not is None."""
    if isinstance(value, str):
        return clean(value, limit)
    if isinstance(value, dict):
        return {
            clean(key, limit) if isinstance(key, str) else key: clean_data(item, limit)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [clean_data(item, limit) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, of torch's often the only one that is meant for people."""
    return str(error).strip().partition("\n")[0][:300]


def text_of(error: BaseException) -> str:
    """Return what an exception says, cleaned; '' if it says nothing, or raises when it is asked."""
    try:
        return clean(str(error))
    except Exception:  # the class is a plugin's own, and so is its __str__
        return f"(its text cannot be had: {type(error).__name__}.__str__ raises)"


def in_words(error: BaseException) -> str:
    """Return an exception as a sentence for the user: one of ACC's own as it is, any other with its type."""
    text, name = text_of(error), clean(type(error).__name__, 100)
    if isinstance(error, AccError) and text:
        return text
    return f"{name}: {text}" if text else name


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an exception, cleaned."""
    try:
        return clean("".join(traceback.format_exception(error)), DETAIL_CHARS)
    except Exception:
        return ""


def _shortened(text: str, limit: int) -> str:
    note = f" [… {len(text) - limit:,} characters left out …] "
    kept = max(0, limit - len(note))
    head = (kept + 1) // 2
    return text[:head] + note + (text[len(text) - (kept - head) :] if kept > head else "")


_NO_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that this process was given no more memory (a GPU's own is another matter)."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(words in text_of(error) for words in _NO_MEMORY)
