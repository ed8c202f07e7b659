"""Child registries of all of mmengine's, scope ``admlops``; torch and the mm* packages start at this layer."""

from __future__ import annotations

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry


def _child(name: str, *locations: str) -> Registry:
    parent: Registry = getattr(mmengine_registry, name)
    return Registry(parent.name, parent=parent, scope="admlops", locations=list(locations))


# Every one of them, also those without a class of ours: mmengine warns on each look-up in a scope that lacks one.
RUNNERS = _child("RUNNERS", "admlops.engine")
RUNNER_CONSTRUCTORS = _child("RUNNER_CONSTRUCTORS", "admlops.engine")
LOOPS = _child("LOOPS", "admlops.engine")
HOOKS = _child("HOOKS", "admlops.engine")
LOG_PROCESSORS = _child("LOG_PROCESSORS", "admlops.engine")
OPTIMIZERS = _child("OPTIMIZERS", "admlops.engine")
OPTIM_WRAPPERS = _child("OPTIM_WRAPPERS", "admlops.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child("OPTIM_WRAPPER_CONSTRUCTORS", "admlops.engine")
PARAM_SCHEDULERS = _child("PARAM_SCHEDULERS", "admlops.engine")
STRATEGIES = _child("STRATEGIES", "admlops.engine")
INFERENCERS = _child("INFERENCERS", "admlops.engine")
FUNCTIONS = _child("FUNCTIONS", "admlops.datasets")
DATASETS = _child("DATASETS", "admlops.datasets")
DATA_SAMPLERS = _child("DATA_SAMPLERS", "admlops.datasets")
TRANSFORMS = _child("TRANSFORMS", "admlops.datasets")
MODELS = _child("MODELS", "admlops.models")
MODEL_WRAPPERS = _child("MODEL_WRAPPERS", "admlops.models")
WEIGHT_INITIALIZERS = _child("WEIGHT_INITIALIZERS", "admlops.models")
TASK_UTILS = _child("TASK_UTILS", "admlops.models")
METRICS = _child("METRICS", "admlops.evaluation")
EVALUATOR = _child("EVALUATOR", "admlops.evaluation")
VISUALIZERS = _child("VISUALIZERS", "admlops.visualization")
VISBACKENDS = _child("VISBACKENDS", "admlops.visualization")
