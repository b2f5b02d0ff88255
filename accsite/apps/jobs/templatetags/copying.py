"""``{% copy_as %}``: an action or a figure as a line for a shell, for curl, and as Python."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import template

register = template.Library()


@register.inclusion_tag("parts/copy_as.html")
def copy_as(
    path: str,
    what: str,
    *,
    cli: str | Sequence[str] = (),
    method: str = "GET",
    body: Any = None,
    form: str = "",
    into: str = "",
) -> dict[str, Any]:
    """Show three buttons that copy how ``what`` (words) is done without the page; the texts are made by copy.js.

    path: address under the API, with its query. cli: arguments of manage.py, a list, or words with spaces in
    between; without it there is no button for it. body: JSON to send with ``method``. form: a CSS selector;
    what its fields hold at the moment of copying goes into the body, under the key ``into`` if one is given, and
    onto the command line as ``--name value``.

    ``{% load copying %}{% copy_as path=url what="this job" method="POST" body=request cli=arguments %}``
    """
    return {
        "path": path,
        "what": what,
        "cli": json.dumps(cli.split() if isinstance(cli, str) else list(cli)) if cli else "",
        "method": method,
        "body": "" if body is None else json.dumps(body),
        "form": form,
        "into": into,
    }
