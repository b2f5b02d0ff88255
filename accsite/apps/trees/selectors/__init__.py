"""Reads trees and their checkpoints. Nothing here changes a row."""

from accsite.apps.trees.selectors.checkpoints import (
    checkpoint_detail,
    checkpoint_origin,
    find_checkpoint_named,
)
from accsite.apps.trees.selectors.tree import Tree, compact, tree

__all__ = [
    "Tree",
    "checkpoint_detail",
    "checkpoint_origin",
    "compact",
    "find_checkpoint_named",
    "tree",
]
