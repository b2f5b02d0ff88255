"""Static files under names that carry their hash, in the imports of ES modules too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage

from accsite.minify import is_ours, minified


class HashedStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """WhiteNoise's storage; modules import each other by the same hashed names as the pages do.

    Otherwise a module that a page names and another imports would be loaded, and run, twice. Scripts and styles
    of ours are minified first, so that their hashes are those of what is served.
    """

    support_js_module_import_aggregation = True

    def post_process(self, paths: dict[str, Any], *args: Any, **options: Any) -> Iterator[Any]:
        """Minify, then hash and compress."""
        for name in filter(is_ours, paths):
            path = Path(self.path(name))
            path.write_bytes(minified(name, path.read_bytes()))
        # The collected copies, not the sources that they were made of.
        collected = {name: (self, name) for name in paths}
        yield from super().post_process(collected, *args, **options)
