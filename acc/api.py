"""The one import for notebooks and plugin authors: ``from acc.api import Task, Param, train``."""

from acc.data import (
    AccDataset,
    DatasetGenerator,
    Progress,
    mnist,
    no_progress,
    sampling,
    scans,
    shapes,
    written,
)
from acc.data import morphology as measure
from acc.data.written import WrittenImages
from acc.errors import AccError, CheckpointError, InvalidInput, TaskError, TrainingFailed
from acc.evaluation import FactoringEvaluator, evaluate_checkpoint
from acc.evaluation.image_quality import psnr, ssim
from acc.evaluation.metrics.values import Value
from acc.methods import Method, Paper, Setup
from acc.metrics import Metric, Representation
from acc.models import Decoded, Model, ModelOutput, Posterior, build
from acc.params import Param
from acc.recipes import (
    BranchRef,
    CheckpointRef,
    DatasetRef,
    EvalOutcome,
    Recipe,
    RecipeContext,
    RecipeError,
    StudyOutcome,
    TaskRef,
    TrainOutcome,
)
from acc.results import EvalResult, Factoring
from acc.specs import (
    DatasetSpec,
    EvalSpec,
    FactorGroup,
    ImageShape,
    ModelSpec,
    TargetSpec,
    TaskSpec,
    TrainJobSpec,
    TrainSpec,
)
from acc.training.batch import Batch, TrainingRows
from acc.training.checkpoints.files import Checkpoint
from acc.training.checkpoints.files import load as load_checkpoint
from acc.training.context import StepContext
from acc.training.optimizers import OptimizerGroup
from acc.training.pairs import factors_of
from acc.training.plugin_set import PluginSet
from acc.training.protocols import Baseline
from acc.training.ranks.group import Ranks
from acc.training.ranks.join import under_torchrun
from acc.training.run import TrainRun, train
from acc.training.task import EvaluationTask, JointTask, Loss, Sums, TargetTask, Task, TaskView
from acc.training.trainer import Trainer, TrainResult
from acc.training.views import Augmentations

Sight = TaskView  # what plugins of before 0.2 call it

__all__ = [
    "AccDataset",
    "AccError",
    "Augmentations",
    "Baseline",
    "Batch",
    "BranchRef",
    "Checkpoint",
    "CheckpointError",
    "CheckpointRef",
    "DatasetGenerator",
    "DatasetRef",
    "DatasetSpec",
    "Decoded",
    "EvalOutcome",
    "EvalResult",
    "EvalSpec",
    "EvaluationTask",
    "FactorGroup",
    "Factoring",
    "FactoringEvaluator",
    "ImageShape",
    "InvalidInput",
    "JointTask",
    "Loss",
    "Method",
    "Metric",
    "Model",
    "ModelOutput",
    "ModelSpec",
    "OptimizerGroup",
    "Paper",
    "Param",
    "PluginSet",
    "Posterior",
    "Progress",
    "Ranks",
    "Recipe",
    "RecipeContext",
    "RecipeError",
    "Representation",
    "Setup",
    "StepContext",
    "StudyOutcome",
    "Sums",
    "TargetSpec",
    "TargetTask",
    "Task",
    "TaskError",
    "TaskRef",
    "TaskSpec",
    "TaskView",
    "TrainJobSpec",
    "TrainOutcome",
    "TrainResult",
    "TrainRun",
    "TrainSpec",
    "Trainer",
    "TrainingFailed",
    "TrainingRows",
    "Value",
    "WrittenImages",
    "build",
    "evaluate_checkpoint",
    "factors_of",
    "load_checkpoint",
    "measure",
    "mnist",
    "no_progress",
    "psnr",
    "sampling",
    "scans",
    "shapes",
    "ssim",
    "train",
    "under_torchrun",
    "written",
]
