"""Markdown as HTML that is safe to show: no HTML of the writer's, no picture from elsewhere, links that tell nothing.

A paragraph that is ``![[checkpoint 58]]`` alone becomes a panel that shows what is so now: see ``panels``.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from accsite.apps.notes import panels

MOST_PANELS = 20
_PANEL = re.compile(r"!\[\[([^\[\]\n]{1,200})\]\]")
_OURS = re.compile(r"/(?![/\\])|#|\?")


def rendered(text: str, user: Any) -> SafeString:
    """Return a note as HTML; what its panels show is what ``user`` may see."""
    tokens: list[Token] = []
    left = MOST_PANELS
    parsed = iter(_parser().parse(text))
    for token in parsed:
        content = next(parsed) if token.type == "paragraph_open" else None
        what = _named(content.content) if content is not None else ""
        if content is None or not what:
            tokens += [token] if content is None else [token, content]
            continue
        next(parsed)  # its end
        shown = panels.panel(user, what) if left > 0 else panels.refusal("a note has 20 panels at most")
        left -= 1
        tokens.append(Token("html_block", "", 0, content=f"{shown}\n"))
    html: str = _parser().renderer.render(tokens, _parser().options, {})
    return mark_safe(html)  # noqa: S308


def _named(paragraph: str) -> str:
    """Return what a paragraph names that is a panel alone; '' for any other."""
    match = _PANEL.fullmatch(paragraph)
    return match[1].strip() if match is not None else ""


@cache
def _parser() -> MarkdownIt:
    """Return what parses: HTML is shown as text, an image as its words; headings stand below the page's."""
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
    parser.disable("image")
    parser.add_render_rule("heading_open", _heading)
    parser.add_render_rule("heading_close", _heading)
    parser.add_render_rule("link_open", _link)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", _table_close)
    parser.add_render_rule("th_open", _cell)
    parser.add_render_rule("td_open", _cell)
    return parser


def _heading(renderer: Any, tokens: Any, index: int, options: Any, _env: Any) -> str:
    token = tokens[index]
    token.tag = f"h{min(6, int(token.tag[1]) + 2)}" if not token.meta.get("lower") else token.tag
    token.meta["lower"] = True
    return str(renderer.renderToken(tokens, index, options, _env))


def _link(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    if not _OURS.match(str(tokens[index].attrGet("href") or "")):
        tokens[index].attrSet("rel", "nofollow noopener noreferrer")
    return str(renderer.renderToken(tokens, index, options, env))


def _table_open(*_: Any) -> str:
    return '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>\n'


def _table_close(*_: Any) -> str:
    return "</table></div>\n"


def _cell(renderer: Any, tokens: Any, index: int, options: Any, _env: Any) -> str:
    """Show how a column is aligned by a class: a style in an attribute is blocked by the content policy."""
    style = tokens[index].attrs.pop("style", "")
    if style:
        tokens[index].attrSet("class", f"align-{str(style).removeprefix('text-align:')}")
    return str(renderer.renderToken(tokens, index, options, _env))
