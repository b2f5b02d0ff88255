"""Numbers and images that say how good a checkpoint is; ``acc.results`` says what comes out."""

from acc.evaluation.checkpoints import evaluate_checkpoint
from acc.evaluation.evaluator import FactoringEvaluator

__all__ = ["FactoringEvaluator", "evaluate_checkpoint"]
