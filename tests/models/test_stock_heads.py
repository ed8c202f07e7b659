"""Unedited heads of mmdet and mmseg as branches."""

import pytest
import torch
from multi_task_batch import detector_config, make_label, make_sample, random_labels, silence_init_weights

import admlops.models  # noqa: F401
from admlops.errors import ModelError
from admlops.registry import MODELS

NMS = {"type": "nms", "iou_threshold": 0.65}
YOLOX = {
    "type": "YOLOXHead",
    "_scope_": "mmdet",
    "num_classes": 1,
    "in_channels": 32,
    "feat_channels": 16,
    "strides": (8, 16, 32),
    "stacked_convs": 1,
    "train_cfg": {"assigner": {"type": "SimOTAAssigner", "center_radius": 2.5}},
    "test_cfg": {"score_thr": 0.01, "nms": NMS},
}
RTMDET = {
    "type": "RTMDetSepBNHead",
    "_scope_": "mmdet",
    "num_classes": 1,
    "in_channels": 32,
    "feat_channels": 16,
    "stacked_convs": 1,
    "with_objectness": False,
    "anchor_generator": {"type": "MlvlPointGenerator", "offset": 0, "strides": [8, 16, 32]},
    "bbox_coder": {"type": "DistancePointBBoxCoder"},
    "loss_cls": {"type": "QualityFocalLoss", "use_sigmoid": True, "beta": 2.0, "loss_weight": 1.0},
    "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
    "train_cfg": {"assigner": {"type": "DynamicSoftLabelAssigner", "topk": 5}, "allowed_border": -1, "pos_weight": -1},
    "test_cfg": {"nms_pre": 100, "min_bbox_size": 0, "score_thr": 0.001, "nms": NMS, "max_per_img": 20},
}
FCN = {
    "type": "FCNHead",
    "_scope_": "mmseg",
    "in_channels": 32,
    "channels": 8,
    "num_convs": 1,
    "num_classes": 12,
    "in_index": 0,
}


def build(name, head, **branch):
    silence_init_weights()
    torch.manual_seed(0)
    levels = (1, 2, 3) if name.startswith("det") else (0,)
    other = {"seg_lane": {"head": {"type": "SegHead"}}}
    config = detector_config(branches={name: {"head": head, "in_levels": levels, **branch}, **other})
    model = MODELS.build(config)
    model.init_weights()
    return model


def batch(model, *samples):
    return model.data_preprocessor({"inputs": torch.full((len(samples), 3, 64, 96), 100).byte(), "data_samples": list(samples)})


@pytest.mark.parametrize("head", [YOLOX, RTMDET], ids=["YOLOXHead", "RTMDetHead"])
def test_dense_heads_of_mmdet_train_and_predict(head):
    model = build("det_person", head)
    boxes = make_sample({"det_person": make_label("det_person", [[10, 10, 40, 50], [50, 20, 60, 40]], [0, 0], [False, True])})
    empty = make_sample({"det_person": make_label("det_person")})
    unknown = make_sample(random_labels(0, ("seg_lane",)))
    losses = model(**batch(model, boxes, unknown, empty), mode="loss")
    stock = [value for name, value in losses.items() if name.startswith("det_person.loss_")]
    assert len(stock) >= 2
    sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.branches["det_person"].parameters())
    assert all(torch.isfinite(value) for value in model(**batch(model, empty), mode="loss").values())
    assert [name for name in model(**batch(model, unknown), mode="loss") if "det_person" in name] == []
    (sample,) = model.eval()(**batch(model, boxes), mode="predict")
    assert set(sample.pred.det_person.keys()) == {"bboxes", "scores", "labels"}
    assert all(output.shape[0] == 1 for output in model(torch.zeros(1, 3, 64, 96)).values())


def test_half_precision_reaches_neither_decoding_nor_nms():
    model = build("det_person", RTMDET).eval()
    with torch.autocast("cpu", torch.bfloat16):
        (sample,) = model(**batch(model, make_sample({})), mode="predict")
    found = sample.pred.det_person
    assert len(found.scores) > 0
    assert found.bboxes.dtype == found.scores.dtype == torch.float32


def test_stock_loss_sees_the_labelled_subset_only():
    model = build("det_person", YOLOX).eval()
    labelled = make_sample({"det_person": make_label("det_person", [[10, 10, 40, 50]], [0])})
    alone = model(**batch(model, labelled), mode="loss")
    mixed = model(**batch(model, make_sample({}), labelled, make_sample({})), mode="loss")
    for name, value in alone.items():
        torch.testing.assert_close(mixed[name], value)


def test_decode_head_of_mmseg_trains_and_predicts():
    model = build("seg_default", FCN)
    samples = [make_sample(random_labels(0, ("seg_default",))), make_sample({})]
    losses = model(**batch(model, *samples), mode="loss")
    assert list(losses) == ["seg_default.loss_ce"]
    losses["seg_default.loss_ce"].backward()
    model.eval()
    samples[0].set_metainfo({"img_shape": (40, 60)})
    first = model(**batch(model, samples[0]), mode="loss")["seg_default.loss_ce"]
    samples[0].gt.seg_default.sem_seg.data[:, 40:] = 3
    second = model(**batch(model, samples[0]), mode="loss")["seg_default.loss_ce"]
    assert first == second
    predicted = model(**batch(model, *samples), mode="predict")
    assert predicted[1].pred.seg_default.data.shape == (1, 64, 96)


def test_partly_labelled_sample_is_refused_by_name_or_skipped():
    partial = make_label("det_vehicle_sign", [[8, 8, 30, 30]], [1], labelled_categories=["traffic_sign"])
    sample = make_sample({"det_vehicle_sign": partial}, sample_id="frame_7")
    head = {**YOLOX, "num_classes": 2}
    model = build("det_vehicle_sign", head)
    with pytest.raises(ModelError, match="labelled in part") as error:
        model(**batch(model, sample), mode="loss")
    assert "frame_7" in str(error.value)
    assert "1 of 2 classes" in str(error.value)
    skipping = build("det_vehicle_sign", head, skip_partial=True)
    assert list(skipping(**batch(skipping, sample), mode="loss")) == ["loss_zero"]


@pytest.mark.parametrize(
    ("name", "head", "options", "message"),
    [
        ("det_vehicle_sign", YOLOX, {}, "wrong number of classes"),
        ("seg_default", {**FCN, "num_classes": 5}, {}, "wrong number of classes"),
        ("det_person", {"type": "CenterLtrbHead"}, {"skip_partial": True}, "skip_partial"),
        ("det_person", {**FCN, "num_classes": 1, "out_channels": 1}, {}, "cannot be the head"),
    ],
)
def test_unfit_heads_are_refused(name, head, options, message):
    with pytest.raises(ModelError, match=message):
        build(name, head, **options)
