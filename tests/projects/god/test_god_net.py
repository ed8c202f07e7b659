"""The lidar network: partial labels, sets, weights, frozen parts, canvas in place of points."""

import math

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.structures import PixelData
from torch import nn

from admlops.errors import ModelError
from admlops.models.model_report import report_parts
from admlops.registry import MODELS
from admlops.structures import LabelAvailability, MultiTaskDataSample, TaskLabel
from admlops.structures.multi_task_data_sample import TaskElements
from admlops.task_spec import LIDAR_TASKS
from god.bev_unet import BevUNet
from god.data_preprocessor import BevDataPreprocessor
from god.detector import GodNet
from god.geometry import BevGrid
from god.heads import BevHead
from god.pillars import MinMaxPillarEncoder

GRID = {"x_min_m": -3.2, "y_min_m": -3.2, "cell_m": 0.2, "rows": 32, "cols": 32}
ROWS, COLS = 32, 32
TASKS = {"god": "god_base", "drivable_2cls": "drivable_2cls", "drivable_multi": "drivable_multi"}


def network(fold=2, frozen=(), encoder_grid=GRID, folds=None):
    MMLogger.get_current_instance().setLevel("ERROR")
    torch.manual_seed(0)
    model = MODELS.build(
        {
            "type": GodNet,
            "data_preprocessor": {"type": BevDataPreprocessor, "grid": GRID},
            "encoder": {"type": MinMaxPillarEncoder, "grid": encoder_grid, "channels": 4, "fold": fold},
            "backbone": {"type": BevUNet, "in_channels": 4 * fold * fold, "channels": (8, 12, 16)},
            "branches": {
                name: {"task": task, "head": {"type": BevHead, "in_channels": 8, "fold": (folds or {}).get(name, fold)}}
                for name, task in TASKS.items()
            },
            "frozen": frozen,
        }
    )
    model.init_weights()
    return model


def sweep(seed=0, num_points=600):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-3.5, -3.5, -2, 0], [3.5, 3.5, 1, 1], (num_points, 4)).astype(np.float32)
    return torch.from_numpy(points), torch.from_numpy(BevGrid(**GRID).cell_of(points))


def label(task, mask, weight=None, **keys):
    available = LabelAvailability.from_label(LIDAR_TASKS[task], keys)
    out = TaskLabel(
        class_labelled=torch.from_numpy(available.class_labelled),
        class_exhaustive=torch.from_numpy(available.class_exhaustive),
        category_sets=torch.from_numpy(available.category_sets),
        in_metric=torch.from_numpy(available.in_metric),
        sem_seg=PixelData(data=torch.as_tensor(mask, dtype=torch.uint8)[None]),
    )
    if weight is not None:
        out.sem_seg.weight = torch.as_tensor(weight)[None]
    return out


def sample(name="s", **labels):
    shape = (ROWS, COLS)
    made = MultiTaskDataSample(
        metainfo={"sample_id": name, "ori_shape": shape, "img_shape": shape, "input_from_original": np.eye(3)}
    )
    made.gt = TaskElements(**labels)
    return made


def batch(*sweeps, samples=None):
    points, cells = zip(*sweeps, strict=True)
    inputs = {"points": list(points), "cell": list(cells)}
    samples = samples or [sample(f"sweep {index}") for index in range(len(points))]
    return {"inputs": inputs, "data_samples": samples}


def some_mask(task, seed=0):
    return np.random.default_rng(seed).integers(0, LIDAR_TASKS[task].num_channels, (ROWS, COLS))


def head_alone(task="god_base", **keys):
    head = BevHead(LIDAR_TASKS[task], in_channels=4, fold=1, **keys)
    head.tower, head.logits = nn.Identity(), nn.Identity()
    return head


def loss_by_hand(head, logits_KHW, *labels):
    """The losses of a head of which the features are the logits, on one sample."""
    targets = head.make_targets([sample(**{head.task.name: one}) for one in labels], (ROWS, COLS))
    losses = head.loss((logits_KHW[None].expand(len(labels), -1, -1, -1),), targets, targets.normalizers.clamp(min=1))
    return losses, targets


def test_an_ignored_cell_gets_no_gradient():
    mask = np.full((ROWS, COLS), 255)
    mask[4, 7], mask[9, 2] = 0, 1
    logits = torch.zeros(2, ROWS, COLS, requires_grad=True)
    losses, _ = loss_by_hand(head_alone(), logits, label("god_base", mask))
    sum(losses.values()).backward()
    touched = logits.grad.abs().sum(dim=0).nonzero().tolist()
    assert touched == [[4, 7], [9, 2]]
    assert losses["loss_ce"].item() == pytest.approx(math.log(2))


def test_cells_weigh_what_their_label_says():
    mask = np.full((ROWS, COLS), 255)
    mask[0, 0], mask[0, 1] = 0, 1
    weight = np.ones((ROWS, COLS), np.float32)
    weight[0, 1], weight[5, 5] = 3.0, 7.0
    logits = torch.zeros(2, ROWS, COLS)
    logits[1] = math.log(3)
    losses, targets = loss_by_hand(head_alone(dice_weight=0.0), logits, label("god_base", mask, weight))
    # Obstacle has 3/4: free costs log 4, obstacle log 4/3 three times, over a weight of 4.
    assert targets.normalizers[0] == 4.0
    assert list(losses) == ["loss_ce"]
    assert losses["loss_ce"].item() == pytest.approx((math.log(4) + 3 * math.log(4 / 3)) / 4)


def test_a_set_costs_the_summed_probability_of_its_members():
    sets = {"driveable": ["road", "parking"]}
    mask = np.full((ROWS, COLS), 255)
    mask[3, 3] = 5
    probs = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25])
    logits = probs.log()[:, None, None].expand(5, ROWS, COLS).clone().requires_grad_()
    losses, _ = loss_by_hand(head_alone("drivable_multi"), logits, label("drivable_multi", mask, category_sets=sets))
    assert losses["loss_ce"].item() == pytest.approx(-math.log(0.3))
    assert losses["loss_dice"].item() == 0.0
    losses["loss_ce"].backward()
    # d/dlogit = p - p / 0.3 for members, p for the others.
    expected = torch.tensor([0.1 - 1 / 3, 0.2 - 2 / 3, 0.3, 0.15, 0.25])
    assert torch.allclose(logits.grad[:, 3, 3], expected, atol=1e-6)


def test_classes_that_a_source_does_not_label_take_no_part():
    mask = np.full((ROWS, COLS), 255)
    mask[3, 3] = 0
    logits = torch.zeros(5, ROWS, COLS, requires_grad=True)
    one = label("drivable_multi", mask, labelled_categories=["road", "terrain"])
    losses, _ = loss_by_hand(head_alone("drivable_multi", dice_weight=0.0), logits, one)
    assert losses["loss_ce"].item() == pytest.approx(math.log(2))
    losses["loss_ce"].backward()
    assert logits.grad[:, 3, 3].tolist() == [-0.5, 0.0, 0.0, 0.0, 0.5]


@pytest.mark.parametrize("fold", [1, 2])
def test_a_cell_comes_out_where_it_went_in(fold):
    """Identity from the encoder to the head: whatever the fold, an obstacle stays in its cell."""
    model = network(fold).eval()
    channels = model.encoder.out_channels
    head = model.branches["god"].head

    class SumOfCell(nn.Module):
        """Each cell's channels of the canvas, summed, against a constant."""

        def forward(self, canvas):
            filled = nn.functional.pixel_shuffle(canvas, fold).sum(dim=1, keepdim=True) > 0
            return nn.functional.pixel_unshuffle(torch.cat([~filled, filled], dim=1).float(), fold)

    model.backbone, head.tower, head.logits = nn.Identity(), nn.Identity(), SumOfCell()
    model.extract_feat = lambda canvas: (canvas,)
    model.branches = nn.ModuleDict({"god": model.branches["god"]})
    nn.init.ones_(model.encoder.linear.bias)
    nn.init.zeros_(model.encoder.linear.weight)
    points = torch.tensor([[1.3, -2.5, 0.0, 0.0]])
    # Column (1.3 + 3.2) / 0.2 = 22.5, row (-2.5 + 3.2) / 0.2 = 3.5.
    (found,) = model.test_step(batch((points, torch.tensor([3 * COLS + 22]))))
    assert channels == 4 * fold * fold
    assert found.pred.god_base.data.shape == (1, ROWS, COLS)
    assert found.pred.god_base.data[0].nonzero().tolist() == [[3, 22]]
    assert found.pred.god_base.score.shape == (1, ROWS, COLS)
    assert found.pred.god_base.score[0, 3, 22] == pytest.approx(math.e / (1 + math.e))


def test_a_branch_that_nobody_labels_gets_no_gradient():
    model = network()
    data = model.data_preprocessor(batch(sweep(), samples=[sample(god_base=label("god_base", some_mask("god_base")))]))
    losses = model(**data, mode="loss")
    assert {name.split(".")[0] for name in losses} == {"god"}
    sum(losses.values()).backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(grad is None for name, grad in grads.items() if name.startswith("branches.drivable"))
    assert all(grad is not None for name, grad in grads.items() if not name.startswith("branches.drivable"))
    assert model.branches["god"].seen.all()
    assert not model.branches["drivable_2cls"].seen.any()


def test_fine_tuning_one_head_leaves_the_others_bit_for_bit():
    model = network(frozen=("encoder", "backbone", "branches.drivable_2cls", "branches.drivable_multi"))
    fixed = model.data_preprocessor(batch(sweep(1)))["inputs"]
    before = {name: out.clone() for name, out in model.eval()(fixed).items()}
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    samples = [
        sample(
            god_base=label("god_base", some_mask("god_base")),
            drivable_2cls=label("drivable_2cls", some_mask("drivable_2cls")),
        )
    ]
    for step in range(3):
        data = model.data_preprocessor(batch(sweep(step), samples=samples))
        optimizer.zero_grad()
        sum(model(**data, mode="loss").values()).backward()
        optimizer.step()
    after = model.eval()(fixed)
    same = {name: torch.equal(after[name], before[name]) for name in before}
    assert same == {"god_base.logits": False, "drivable_2cls.logits": True, "drivable_multi.logits": True}


def test_an_unknown_part_cannot_be_frozen():
    with pytest.raises(ModelError, match="no part 'encodr'") as caught:
        network(frozen=("encodr",))
    assert "encoder" in str(caught.value)


def test_a_canvas_gives_what_its_points_give():
    model = network().eval()
    inputs = model.data_preprocessor(batch(sweep(0), sweep(1)))["inputs"]
    canvas = model.quantized_input(inputs)
    from_points, from_canvas = model(inputs), model(canvas)
    assert list(from_points) == ["god_base.logits", "drivable_2cls.logits", "drivable_multi.logits"]
    assert all(torch.equal(from_points[name], from_canvas[name]) for name in from_points)
    assert from_points["drivable_multi.logits"].shape == (2, 20, 16, 16)


def test_two_sweeps_in_one_batch_are_what_each_is_alone():
    model = network().eval()
    both = model.test_step(batch(sweep(0), sweep(1, num_points=90)))
    for index, one in enumerate((sweep(0), sweep(1, num_points=90))):
        (alone,) = model.test_step(batch(one))
        for task in TASKS.values():
            assert torch.equal(both[index].pred.get(task).data, alone.pred.get(task).data)
        # The canvas is equal bit for bit; convolutions round by the size of the batch.
        assert torch.allclose(both[index].pred.god_base.score, alone.pred.god_base.score, atol=1e-6)


def test_a_sweep_without_points_is_a_sweep_like_any_other():
    model = network()
    none = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    data = model.data_preprocessor(batch(none, samples=[sample(god_base=label("god_base", some_mask("god_base")))]))
    losses = model(**data, mode="loss")
    assert all(torch.isfinite(value) for value in losses.values())
    (found,) = model.eval().test_step(batch(none))
    assert found.pred.god_base.data.shape == (1, ROWS, COLS)
    assert "score" not in found.pred.drivable_multi


def test_points_far_outside_do_not_reach_a_gradient():
    model = network()
    far = 3e38 * torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0])[:, None].expand(5, 4)
    points, cell = sweep()
    inside = batch((points, cell), samples=[sample(god_base=label("god_base", some_mask("god_base")))])
    mixed = batch((torch.cat([points, far]), torch.cat([cell, torch.full((5,), ROWS * COLS)])), samples=inside["data_samples"])
    grads = []
    for data in (inside, mixed):
        model.zero_grad()
        sum(model(**model.data_preprocessor(data), mode="loss").values()).backward()
        grads.append(model.encoder.linear.weight.grad.clone())
    assert torch.isfinite(grads[0]).all()
    assert torch.equal(*grads)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_points_that_are_not_finite_are_refused_by_name(value):
    points, cell = sweep()
    points[17, 3] = value
    with pytest.raises(ModelError, match="not finite") as caught:
        network().data_preprocessor(batch(sweep(1), (points, cell)))
    assert "sweep 1" in str(caught.value)
    assert "1 of 600 points" in str(caught.value)


def test_cells_of_another_grid_are_refused_by_name():
    points, cell = sweep()
    cell[3] = ROWS * COLS + 1
    with pytest.raises(ModelError, match="grid has not") as caught:
        network().data_preprocessor(batch((points, cell)))
    assert "sweep 0" in str(caught.value)


@pytest.mark.parametrize(
    "grids", [[{"cell_m": 0.1}], [{"rows": 16}, {"rows": 32}]], ids=["cells of another size", "two grids in a batch"]
)
def test_samples_of_a_batch_show_one_grid_of_the_networks_cells(grids):
    model = network()
    data = batch(*(sweep(seed) for seed in range(len(grids))))
    for sample, changed in zip(data["data_samples"], grids, strict=True):
        sample.set_metainfo({"grid": GRID | changed})
    with pytest.raises(ModelError, match="must show one grid"):
        model.data_preprocessor(data)


def test_an_encoder_of_another_grid_is_refused():
    with pytest.raises(ModelError, match=r"(?s)another grid than the data preprocessor.*rows=64"):
        network(encoder_grid=GRID | {"rows": 64})


def test_a_head_of_another_fold_is_refused():
    with pytest.raises(ModelError, match=r"(?s)another fold than the encoder.*branches\.drivable_2cls.*2.*4"):
        network(folds={"drivable_2cls": 4})


def test_a_threshold_moves_the_limit_between_two_classes_not_the_score():
    head = BevHead(LIDAR_TASKS["god_base"], in_channels=4, fold=1, threshold=0.8)
    # sigmoid(1.3) = 0.786, sigmoid(1.5) = 0.818
    raw = torch.tensor([[[[0.0, 0.0, 0.0]], [[0.5, 1.3, 1.5]]]])
    (found,) = head.interpret([raw], [{}], (1, 3), torch.ones(2, dtype=torch.bool))
    assert found.data.tolist() == [[[0, 0, 1]]]
    torch.testing.assert_close(found.score, torch.sigmoid(raw[:, 1]))
    assert head.output_spec().parameters == {"fold": 1, "margin": pytest.approx(math.log(4))}


@pytest.mark.parametrize(("task", "threshold"), [("god_base", 1.0), ("drivable_multi", 0.7)])
def test_a_threshold_is_a_probability_between_two_classes(task, threshold):
    with pytest.raises(ModelError, match="no threshold"):
        BevHead(LIDAR_TASKS[task], threshold=threshold)


def test_the_report_counts_the_encoder_among_what_is_shared():
    model = network()
    parts = {part.name: part for part in report_parts(model, (ROWS, COLS))}
    assert list(parts) == ["encoder", "backbone", *(f"branches.{name}" for name in TASKS)]
    assert parts["encoder"].num_parameters == 7 * 4 + 4
    assert [part.is_shared for part in parts.values()] == [True, True, False, False, False]
    # 3x3 convolution of 8 channels and 1x1 to 2 * 2 * 2 logits at 16 x 16 places.
    assert parts["branches.god"].macs == 16 * 16 * (8 * 8 * 9 + 8 * 8)
    specs = model.output_specs()
    assert (specs["god"].parameters, specs["god"].tensors[0].stride) == ({"fold": 2}, 2)
