"""Numbers and images that say how good a checkpoint is."""

from acc.evaluation.attention import attention_maps
from acc.evaluation.checkpoints import evaluate_checkpoint
from acc.evaluation.evaluator import FactoringEvaluator
from acc.evaluation.factoring import factoring
from acc.evaluation.results import (
    AttentionMaps,
    EvalResult,
    Factoring,
    MetricValue,
    Place,
    ReconstructionGrid,
    SortedImages,
    SortedRows,
    Traversal,
    TraversalScore,
)
from acc.evaluation.sorting import sort_by_activation
from acc.evaluation.traversals import traverse

__all__ = [
    "AttentionMaps",
    "EvalResult",
    "Factoring",
    "FactoringEvaluator",
    "MetricValue",
    "Place",
    "ReconstructionGrid",
    "SortedImages",
    "SortedRows",
    "Traversal",
    "TraversalScore",
    "attention_maps",
    "evaluate_checkpoint",
    "factoring",
    "sort_by_activation",
    "traverse",
]
