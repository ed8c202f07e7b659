"""Networks of several branches, without what mmengine says when it fills them."""

from mmengine.logging import MMLogger

import admlops.models  # noqa: F401
from admlops.registry import MODELS
from admlops.task_spec import CAMERA_TASKS, TaskKind


def build(config):
    MMLogger.get_current_instance().setLevel("ERROR")
    return MODELS.build(config)


def six_branches(**overrides):
    """The network of the configs, as wide as theirs."""
    heads = {
        name: {"head": {"type": "CenterLtrbHead" if task.kind is TaskKind.DETECTION else "SegHead"}}
        for name, task in CAMERA_TASKS.items()
    }
    backbone = {"type": "VarGNetV2", "arch": "0.5x"}
    neck = {"type": "VarGUNet", "in_channels": (16, 32, 64, 128), "out_channels": 32}
    return build({"type": "MultiTaskDetector", "backbone": backbone, "neck": neck, "branches": heads, **overrides})
