"""All that changes datasets."""

from accsite.apps.datasets.services.create import create_dataset
from accsite.apps.datasets.services.manage import discard, purge, remove, rename, restore
from accsite.apps.datasets.services.naming import (
    check_free,
    free_name,
    free_slug,
    name_of_file,
)

__all__ = [
    "check_free",
    "create_dataset",
    "discard",
    "free_name",
    "free_slug",
    "name_of_file",
    "purge",
    "remove",
    "rename",
    "restore",
]
