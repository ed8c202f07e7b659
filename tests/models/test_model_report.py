import torch
from multi_task_batch import detector_config

import admlops.models  # noqa: F401
from admlops.models.complexity import count_complexity
from admlops.models.model_report import format_report, report_parts
from admlops.registry import MODELS


def test_parts_add_up_to_the_network():
    model = MODELS.build(detector_config(("det_person", "seg_lane"), frozen=("neck",)))
    parts = report_parts(model, (64, 96))
    assert [part.name for part in parts] == ["backbone", "neck", "branches.det_person", "branches.seg_lane"]
    assert [part.is_shared for part in parts] == [True, True, False, False]
    total = count_complexity(model, torch.zeros(1, 3, 64, 96))[""]
    assert sum(part.num_parameters for part in parts) == total.num_parameters
    assert sum(part.macs for part in parts) == total.macs
    assert [part.num_frozen for part in parts] == [0, parts[1].num_parameters, 0, 0]
    # Two separable convolutions (32 * 8 * 9 + 32 * 32 weights each), 1 + 4 outputs, on 16 x 24 cells.
    assert parts[2].macs == 16 * 24 * (2 * (32 * 8 * 9 + 32 * 32) + 32 * 5)
    text = format_report(parts, (64, 96), names=True)
    assert "branches.det_person.head.heatmap.conv.bias" in text
    assert f"{total.num_parameters:,}" in text
    assert "head.heatmap" not in format_report(parts, (64, 96))
