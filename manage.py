#!/usr/bin/env python
"""ACC's command line: ``python manage.py help``."""

import os
import sys


def main() -> None:
    """Run a management command with the embedded settings unless others are named; settings amiss are a sentence."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
    if sys.argv[1:2] in (["up"], ["demo"]):
        from accsite.supervisor import family

        family.begin()
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        settings.configured or settings.INSTALLED_APPS  # noqa: B018 - reads them
    except ImproperlyConfigured as error:
        sys.exit(f"error: {error}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
