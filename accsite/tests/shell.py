"""Commands as a shell runs them, in this process."""

from __future__ import annotations

import io

from django.core.management import call_command


def shell(*words: str) -> tuple[int, str, str]:
    """Return exit status, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*words, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()
