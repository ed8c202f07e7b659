"""Heads: from neck features to raw outputs, losses and predictions of one task.

New task kind: a subclass of ``BaseTaskHead``; other layers for masks: of ``MaskHead``. Heads of mmdet and mmseg need none, see
``stock_detection_head`` and ``stock_seg_head``. May import ``losses``, ``layers``, ``structures`` and below.
"""

from admlops.models.heads.base_task_head import BaseTaskHead, HeadTargets
from admlops.models.heads.center_ltrb_head import CenterLtrbHead
from admlops.models.heads.mask_head import MaskHead
from admlops.models.heads.seg_head import SegHead
from admlops.models.heads.stock_detection_head import StockDetectionHead
from admlops.models.heads.stock_seg_head import StockSegHead

__all__ = ["BaseTaskHead", "CenterLtrbHead", "HeadTargets", "MaskHead", "SegHead", "StockDetectionHead", "StockSegHead"]
