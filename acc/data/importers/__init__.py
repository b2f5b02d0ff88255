"""Datasets from files that people already have: IDX (MNIST's format) and ``.npz``. Torch-free.

Each importer is a module with ``read(path, ...) -> AccDataset`` whose errors are InvalidInput with a sentence.
What is read is measured before it is unpacked, and nothing is ever unpickled.
"""

from acc.data.importers.choose import FORMATS, import_file
from acc.data.importers.limits import MAX_DATASET_BYTES

__all__ = ["FORMATS", "MAX_DATASET_BYTES", "import_file"]
