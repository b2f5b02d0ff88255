"""Datasets from files that people already have: IDX, ``.npz``, ``.npy``, ``.pt``, images, ACC's own. Torch-free.

Each importer is a module whose errors are InvalidInput with a sentence. What is read is measured before it is
unpacked, and nothing is ever unpickled.
"""

from acc.data.importers.choose import FORMATS, import_file
from acc.data.importers.limits import MAX_DATASET_BYTES, disk_full, is_disk_full

__all__ = ["FORMATS", "MAX_DATASET_BYTES", "disk_full", "import_file", "is_disk_full"]
