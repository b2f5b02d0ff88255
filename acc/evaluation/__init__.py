"""Numbers and images that say how good a checkpoint is."""

from acc.evaluation.checkpoints import EvalResult, MetricValue, ReconstructionGrid, evaluate_checkpoint

__all__ = ["EvalResult", "MetricValue", "ReconstructionGrid", "evaluate_checkpoint"]
