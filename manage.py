#!/usr/bin/env python
"""ACC's command line: ``python manage.py help``."""

import os
import sys


def main() -> None:
    """Run a management command with the embedded settings unless others are named."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
