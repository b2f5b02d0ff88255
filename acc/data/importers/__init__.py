"""Datasets from files that people already have: IDX, ``.npz``, ``.npy``, ``.pt``, images, ACC's own. Torch-free.

Each importer is a module whose errors are InvalidInput with a sentence. What is read is measured before it is
unpacked, and nothing is ever unpickled. ``look_at`` tells what is found and asked; ``import_file`` takes the answers.
"""

from acc.data.importers.choose import FORMATS, import_file, look_at, read
from acc.data.importers.limits import MAX_DATASET_BYTES, disk_full, is_disk_full
from acc.data.importers.looks import CLASSES, Answers, Finding, Look, Question

__all__ = [
    "CLASSES",
    "FORMATS",
    "MAX_DATASET_BYTES",
    "Answers",
    "Finding",
    "Look",
    "Question",
    "disk_full",
    "import_file",
    "is_disk_full",
    "look_at",
    "read",
]
