"""Static files under names that carry their hash, in the imports of ES modules too."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """WhiteNoise's storage; modules import each other by the same hashed names as the pages do.

    Otherwise a module that a page names and another imports would be loaded, and run, twice.
    """

    support_js_module_import_aggregation = True
