"""Registries of the scope ``god``, children of mmdet3d's, so that both scopes find each other's classes."""

from mmdet3d.registry import HOOKS as PARENT_HOOKS
from mmdet3d.registry import METRICS as PARENT_METRICS
from mmdet3d.registry import MODELS as PARENT_MODELS
from mmdet3d.registry import TRANSFORMS as PARENT_TRANSFORMS
from mmdet3d.registry import VISUALIZERS as PARENT_VISUALIZERS
from mmengine.registry import Registry

MODELS = Registry("model", parent=PARENT_MODELS, scope="god")
TRANSFORMS = Registry("transform", parent=PARENT_TRANSFORMS, scope="god")
HOOKS = Registry("hook", parent=PARENT_HOOKS, scope="god")
METRICS = Registry("metric", parent=PARENT_METRICS, scope="god")
VISUALIZERS = Registry("visualizer", parent=PARENT_VISUALIZERS, scope="god")
