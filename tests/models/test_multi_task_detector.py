import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from multi_task_batch import detector_config, make_label, make_sample, random_labels, silence_init_weights

import admlops.models  # noqa: F401
from admlops.errors import ConfigError, ModelError
from admlops.models.complexity import count_complexity
from admlops.models.detectors.original_frame import to_original, warp_mask
from admlops.registry import MODELS
from admlops.task_spec import CAMERA_TASKS

TASKS = ("det_person", "det_vehicle_sign", "seg_default", "seg_lane")


def build(tasks=TASKS, **overrides):
    silence_init_weights()
    torch.manual_seed(0)
    return MODELS.build(detector_config(tasks, **overrides))


def batch(model, *samples):
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randint(0, 256, (3, *s.img_shape), dtype=torch.uint8, generator=generator) for s in samples]
    return model.data_preprocessor({"inputs": inputs, "data_samples": list(samples)}, training=True)


def train_steps(model, num_steps, *samples):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.05)
    for _ in range(num_steps):
        optimizer.zero_grad()
        losses = model(**batch(model, *samples), mode="loss")
        sum(losses.values()).backward()
        optimizer.step()
    return losses


def test_tensor_mode_returns_what_the_output_specs_say():
    model = build().eval()
    outputs = model(torch.zeros(2, 3, 60, 90))
    specs = [tensor for spec in model.output_specs().values() for tensor in spec.tensors]
    assert list(outputs) == [spec.name for spec in specs]
    for spec in specs:
        assert outputs[spec.name].shape == (2, spec.channels, -(-60 // spec.stride), -(-90 // spec.stride))


def test_every_branch_costs_at_most_15_percent_of_the_trunk():
    counts = count_complexity(build(tuple(CAMERA_TASKS)), torch.zeros(1, 3, 512, 960))
    expected = {
        "det_cyclist_light": 210_370_560,
        "det_person": 209_387_520,
        "det_rear": 210_370_560,
        "det_vehicle_sign": 210_370_560,
        "seg_default": 184_811_520,
        "seg_lane": 177_930_240,
    }
    assert {name: counts[f"branches.{name}"].macs for name in expected} == expected
    assert max(expected.values()) <= 0.15 * counts["backbone"].macs


def test_priors_survive_the_initialisation_of_the_whole_network():
    model = build()
    model.init_weights()
    for name in ("det_person", "det_vehicle_sign"):
        assert torch.equal(model.branches[name].head.heatmap.conv.bias.unique(), torch.tensor([-3.7]))
    sample = make_sample(random_labels(0, TASKS))
    losses = model(**batch(model, sample), mode="loss")
    assert all(value < 10 for value in losses.values())


def test_unlabelled_branch_is_not_run_and_adamw_leaves_it_alone():
    model = build()
    # Momentum from a labelled step is what a zero gradient would act on.
    train_steps(model, 2, make_sample(random_labels(0, TASKS)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.05)
    sum(model(**batch(model, make_sample(random_labels(0, TASKS))), mode="loss").values()).backward()
    optimizer.step()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    for _ in range(3):
        optimizer.zero_grad()
        losses = model(**batch(model, make_sample(random_labels(1, ("det_person",)))), mode="loss")
        sum(losses.values()).backward()
        optimizer.step()
    assert {name.split(".")[0] for name in losses} == {"det_person"}
    for name, parameter in model.named_parameters():
        is_still = name.startswith("branches.") and "det_person" not in name
        assert (parameter.grad is None) == is_still, name
        assert torch.equal(parameter, before[name]) == is_still, name
    for name, buffer in model.named_buffers():
        if name.startswith("branches.seg_default"):
            assert torch.equal(buffer, buffers[name]), name


def test_batch_without_any_label_gives_a_loss_that_moves_nothing():
    model = build()
    losses = model(**batch(model, make_sample({})), mode="loss")
    assert list(losses) == ["loss_zero"]
    losses["loss_zero"].backward()
    assert all(p.grad is None for p in model.parameters())


def test_true_negative_is_labelled():
    model = build(("det_person",))
    losses = model(**batch(model, make_sample({"det_person": make_label("det_person")})), mode="loss")
    assert losses["det_person.loss_heatmap"] > 0
    assert losses["det_person.loss_box"] == 0


def test_loss_weight_scales_a_branch():
    config = detector_config(("det_person",))
    config["branches"]["det_person"]["loss_weight"] = 3.0
    sample = make_sample(random_labels(0, ("det_person",)))
    plain = build(("det_person",))
    weighted = MODELS.build(config)
    weighted.load_state_dict(plain.state_dict())
    first, second = (model(**batch(model, sample), mode="loss") for model in (plain, weighted))
    for name in first:
        torch.testing.assert_close(3 * first[name], second[name])


@pytest.mark.parametrize("frozen", [("backbone", "neck", "branches.seg_default"), ("branches.det_person",)])
def test_frozen_parts_stay_bit_identical(frozen):
    model = build(frozen=frozen).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    train_steps(model, 2, make_sample(random_labels(0, TASKS)), make_sample(random_labels(1, TASKS)))
    model.eval()
    model.train()
    for part in frozen:
        assert not model.get_submodule(part).training
    for name, value in model.state_dict().items():
        if name.startswith(frozen):
            assert torch.equal(value, state[name]), name
    moved = model.get_submodule("branches.seg_lane").state_dict()
    assert any(not torch.equal(value, state[f"branches.seg_lane.{name}"]) for name, value in moved.items())


def test_batch_that_labels_frozen_branches_only_moves_nothing():
    model = build(("det_person", "seg_default"), frozen=("backbone", "neck", "branches.seg_default"))
    losses = model(**batch(model, make_sample(random_labels(0, ("seg_default",)))), mode="loss")
    sum(losses.values()).backward()
    assert set(losses) == {"seg_default.loss_ce", "loss_zero"}
    assert all(p.grad is None for p in model.parameters())


def test_source_that_labels_nothing_but_sets_is_learned_from():
    model = build(("seg_default",))
    with torch.no_grad():
        model.branches["seg_default"].head.logits.conv.weight.zero_()
        model.branches["seg_default"].head.logits.conv.bias.zero_()
    sets = {"ground": ["road", "terrain"], "built": ["building", "fence", "pole"]}
    label = make_label("seg_default", mask=torch.full((64, 96), 12), labelled_categories=[], category_sets=sets)
    losses = model(**batch(model, make_sample({"seg_default": label})), mode="loss")
    # Two of the five classes that the source tells anything about.
    assert losses["seg_default.loss_ce"].item() == pytest.approx(np.log(5 / 2))
    assert not model.branches["seg_default"].seen.any()


def test_source_that_labels_no_class_is_no_label():
    model = build(("seg_default",))
    label = make_label("seg_default", mask=torch.full((64, 96), 255), labelled_categories=[])
    assert list(model(**batch(model, make_sample({"seg_default": label})), mode="loss")) == ["loss_zero"]


def test_predict_does_not_disturb_batch_norm_or_seen():
    model = build().eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model(**batch(model, make_sample(random_labels(0, TASKS))), mode="predict")
    model(**batch(model, make_sample(random_labels(0, TASKS))), mode="loss")
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_class_that_no_source_labels_is_never_predicted():
    model = build(("seg_default", "det_vehicle_sign")).train()
    keys = {"labelled_categories": ["road", "sky"]}
    mask = torch.zeros(64, 96)
    mask[:20] = 8
    labels = {
        "seg_default": make_label("seg_default", mask=mask, **keys),
        "det_vehicle_sign": make_label("det_vehicle_sign", [[8, 8, 30, 30]], [1], labelled_categories=["traffic_sign"]),
    }
    model(**batch(model, make_sample(labels)), mode="loss")
    assert model.branches["seg_default"].seen.nonzero().flatten().tolist() == [0, 8]
    restored = build(("seg_default", "det_vehicle_sign"))
    restored.load_state_dict(model.state_dict())
    with torch.no_grad():
        restored.branches["seg_default"].head.logits.conv.bias[7] = 100.0
        restored.branches["det_vehicle_sign"].head.heatmap.conv.bias[0] = 100.0
    (sample,) = restored.eval()(**batch(restored, make_sample({})), mode="predict")
    assert set(sample.pred.seg_default.data.unique().tolist()) <= {0, 8}
    assert 0 not in sample.pred.det_vehicle_sign.labels


def test_predictions_return_to_the_pixels_of_the_original():
    # The original of 200 x 240 is halved, then cut 20 rows from the top and 10 columns from the left.
    matrix = np.array([[0.5, 0, -10], [0, 0.5, -20], [0, 0, 1]])
    meta = {"ori_shape": (200, 240), "img_shape": (64, 96), "input_from_original": matrix}
    found = InstanceData(
        bboxes=torch.tensor([[0.0, 0, 10, 10], [-30, 50, 20, 300]]), scores=torch.ones(2), labels=torch.zeros(2).long()
    )
    moved = to_original(found, meta, (64, 96))
    # Clipped to what the input shows, columns 20 to 211 and rows 40 to 167.
    assert moved.bboxes.tolist() == [[20, 40, 40, 60], [20, 140, 60, 168]]
    mask = torch.zeros(64, 96, dtype=torch.uint8)
    mask[10:20, 30:50] = 3
    original = to_original(PixelData(data=mask[None]), meta, (64, 96)).data[0]
    assert original.shape == (200, 240)
    assert (original == 3).nonzero().min(dim=0).values.tolist() == [60, 80]
    assert (original == 3).nonzero().max(dim=0).values.tolist() == [79, 119]
    assert (original[:40] == 255).all()
    assert (original[40:168, 20:212] != 255).all()
    assert (original[168:] == 255).all()


def test_padding_shows_no_pixel_of_the_original():
    mask = torch.ones(64, 96, dtype=torch.uint8)
    meta = {"ori_shape": (40, 100), "img_shape": (40, 90), "input_from_original": np.eye(3)}
    original = to_original(PixelData(data=mask[None]), meta, (64, 96)).data[0]
    assert original[:, :90].unique().tolist() == [1]
    assert original[:, 90:].unique().tolist() == [255]


def test_what_else_a_pixel_carries_stays_where_the_input_is_the_original():
    meta = {"ori_shape": (40, 90), "img_shape": (40, 90), "input_from_original": np.eye(3)}
    found = PixelData(data=torch.ones(1, 64, 96, dtype=torch.uint8), score=torch.rand(1, 64, 96))
    original = to_original(found, meta, (64, 96))
    assert torch.equal(original.data, found.data[:, :40, :90])
    assert torch.equal(original.score, found.score[:, :40, :90])


def test_mask_of_a_mirrored_input_comes_back():
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    mirror = np.array([[-1.0, 0, 4], [0, 1, 0], [0, 0, 1]])
    assert np.array_equal(warp_mask(mask[:, ::-1].copy(), mirror, 3, 4), mask)


def test_predict_gives_every_task_in_original_size():
    model = build().eval()
    scale = np.diag([0.5, 0.5, 1.0])
    samples = [make_sample({}, (60, 90), (120, 180), scale), make_sample({}, (64, 96), (128, 192), scale)]
    predicted = model(**batch(model, *samples), mode="predict")
    assert predicted[0] is samples[0]
    for sample in predicted:
        assert sample.pred.seg_lane.data.shape == (1, *sample.ori_shape)
        assert sample.pred.seg_lane.data.dtype == torch.uint8
        assert 255 not in sample.pred.seg_lane.data
        assert set(sample.pred.det_person.keys()) == {"bboxes", "scores", "labels"}


def test_shared_and_unshared_parameters_partition_the_network():
    model = build()
    unshared, shared = model.get_unshared_and_shared_params()
    assert list(unshared) == list(TASKS)
    assert all(name.startswith(("backbone.", "neck.")) for name in shared)
    names = [*shared, *(name for branch in unshared.values() for name in branch)]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    alone = build(("det_person",))
    assert {name for name, _ in alone.named_parameters()} == {*shared, *unshared["det_person"]}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"branches": {}}, ModelError, "at least one branch"),
        ({"frozen": ("bakcbone",)}, ModelError, "did you mean 'backbone'"),
        ({"branches": {"det_persn": {"head": {"type": "CenterLtrbHead"}}}}, ConfigError, "did you mean 'det_person'"),
        ({"branches": {"det_person": {"head": {"type": "NoHead"}}}}, ModelError, "unknown head"),
        ({"branches": {"det_person": {"head": {"type": "SegHead"}}}}, ModelError, "cannot learn"),
        (
            {"branches": {name: {"task": "det_person", "head": {"type": "CenterLtrbHead"}} for name in ("a", "b")}},
            ModelError,
            "same task",
        ),
    ],
)
def test_unusable_networks_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        build(**change)


def test_wrong_mode_and_missing_samples_are_refused():
    model = build(("det_person",))
    with pytest.raises(ModelError, match="Unknown mode"):
        model(torch.zeros(1, 3, 64, 96), mode="los")
    with pytest.raises(ModelError, match="data sample"):
        model(torch.zeros(1, 3, 64, 96), mode="loss")


def test_preprocessor_pads_pictures_grey_and_masks_unknown():
    model = build(("seg_default",), data_preprocessor={"type": "MultiTaskDataPreprocessor", "channels_last": True})
    small = make_sample({"seg_default": make_label("seg_default", mask=torch.ones(40, 60))}, (40, 60))
    large = make_sample({}, (64, 96))
    pictures = [torch.zeros(3, 40, 60, dtype=torch.uint8), torch.full((3, 64, 96), 255, dtype=torch.uint8)]
    out = model.data_preprocessor({"inputs": pictures, "data_samples": [small, large]})
    assert out["inputs"].shape == (2, 3, 64, 96)
    assert out["inputs"].is_contiguous(memory_format=torch.channels_last)
    assert out["inputs"][0, :, :40, :60].unique().tolist() == [-1]
    assert out["inputs"][0, :, 40:].unique().tolist() == [0]
    assert out["inputs"][1].unique().tolist() == [127 / 128]
    mask = out["data_samples"][0].gt.seg_default.sem_seg.data
    assert mask.shape == (1, 64, 96)
    assert (mask != 255).sum() == 40 * 60
    assert out["data_samples"][0].img_shape == (40, 60)
    with pytest.raises(ModelError, match=r"\(3, H, W\)"):
        model.data_preprocessor({"inputs": [torch.zeros(1, 8, 8)], "data_samples": [small]})
