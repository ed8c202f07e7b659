"""What models of mmdet3d's own zoo need to train, to be tested and to be refused in time, on records of a data release."""

from god.zoo.bev_box_metric import BevBoxMetric
from god.zoo.operator_hook import OperatorHook
from god.zoo.to_mmdet3d import ToMmdet3d

__all__ = ["BevBoxMetric", "OperatorHook", "ToMmdet3d"]
