"""With the trunk frozen, what a branch learns changes nothing else: AdamW, weight decay, running statistics, EMA included."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

from admlops.engine.checkpoint import read_checkpoint
from admlops.engine.compose_checkpoint import compose_checkpoint
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.release_runner import ReleaseRunner
from admlops.engine.test import run_test
from admlops.engine.train import train
from admlops.errors import CheckpointError
from admlops.registry import MODELS

ROOT = Path(__file__).parents[2]
MULTITASK, PERSON = "configs/4pe_resize/multitask.py", "configs/4pe_resize/det_person.py"
OTHERS = ("det_cyclist_light", "det_rear", "det_vehicle_sign", "seg_default", "seg_lane")
SMALL = {
    "train_dataloader.dataset.pipeline.1.resize.resize_hw": (72, 128),
    "train_dataloader.dataset.pipeline.2.crop_hw": (64, 128),
    "train_dataloader.batch_size": 16,
    "train_dataloader.num_workers": 0,
    "val_dataloader": None,
    "val_cfg": None,
    "val_evaluator": None,
}


def network(config):
    MMLogger.get_current_instance().setLevel("ERROR")
    torch.manual_seed(0)
    model = MODELS.build(load_config(config).model)
    model.init_weights()
    return model.eval()


@pytest.fixture(scope="module")
def multitask(tmp_path_factory):
    """A checkpoint of all tasks whose running statistics are no longer those of the first day."""
    model = network(MULTITASK)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        if name.endswith(("running_var", "seen")):
            buffer.fill_(1)
    path = tmp_path_factory.mktemp("multitask") / "multitask.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    return path


def outputs(config, checkpoint):
    model = network(config)
    model.load_state_dict(read_checkpoint(checkpoint)["state_dict"], strict=True)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(image)


def check_that_only_person_learned(before, after):
    first, second = outputs(MULTITASK, before), outputs(MULTITASK, after)
    for name, output in first.items():
        assert torch.equal(output, second[name]) == ("det_person" not in name), name
    old, new = (read_checkpoint(path)["state_dict"] for path in (before, after))
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert all(name.startswith("branches.det_person.") for name in moved)
    assert {"branches.det_person.head.heatmap.conv.bias", "branches.det_person.head.tower.0.pointwise.bn.running_mean"} <= moved


@pytest.mark.parametrize(
    "options",
    [
        # Samples that label nothing else leave the other branches alone.
        {"model.frozen": ("backbone", "neck"), "train_dataloader.dataset.data_release.tasks": ["det_person"]},
        # Samples that label everything need the other branches frozen too.
        {"model.frozen": ("backbone", "neck", *(f"branches.{name}" for name in OTHERS))},
    ],
    ids=["one task labelled", "all tasks labelled"],
)
def test_the_other_branches_stay_bit_for_bit(multitask, tiny_release, tmp_path, options):
    steps = {"solver.0.train_cfg.max_iters": 3, "train_dataloader.dataset.data_release.root": str(tiny_release)}
    cfg = load_config(MULTITASK, SMALL | steps | options, tmp_path)
    for key in ("test_dataloader", "test_cfg", "test_evaluator"):
        cfg[key] = None
    cfg.load_from = str(multitask)
    cfg.experiment_name = tmp_path.name
    assert "EMAHook" in {type_name(hook) for hook in cfg.custom_hooks}
    runner = ReleaseRunner.from_cfg(cfg)
    runner.train()

    optimizer = runner.optim_wrapper.optimizer
    assert type(optimizer).__name__ == "AdamW"
    assert max(group["weight_decay"] for group in optimizer.param_groups) > 0
    names = {id(parameter): name for name, parameter in runner.network.named_parameters()}
    grouped = {names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]}
    frozen = cfg.model.frozen
    assert not [name for name in grouped if name.startswith(tuple(f"{part}." for part in frozen))]
    kept = {names[id(parameter)] for parameter in optimizer.state}
    assert kept
    assert all(name.startswith("branches.det_person.") for name in kept)
    check_that_only_person_learned(multitask, tmp_path / "with-bn-last.pth")
    # The weights behind the average stayed as well.
    behind = read_checkpoint(tmp_path / "with-bn-last.pth")["ema_state_dict"]
    before = read_checkpoint(multitask)["state_dict"]
    assert all(torch.equal(behind[f"module.{name}"], before[name]) for name in before if "det_person" not in name)


@pytest.mark.parametrize(
    ("frozen", "other", "told"),
    [
        (
            ("backbone", "branches.seg_lane"),
            False,
            "(?s)frozen parts.*no --load-from.* 0 of .* of branches.seg_lane; 0 of",
        ),
        ((), True, "(?s)nothing of the checkpoint fits the trunk.*other.pth.*got: +0 of .* tensors of backbone; 0 of"),
    ],
    ids=["no checkpoint", "another network's"],
)
def test_a_training_does_not_start_on_random_weights_where_learned_ones_were_meant(tiny_release, tmp_path, frozen, other, told):
    torch.save({"state_dict": {"stem.weight": torch.ones(3)}}, tmp_path / "other.pth")
    options = SMALL | dict.fromkeys(("test_dataloader", "test_cfg", "test_evaluator"))
    options |= {"train_dataloader.dataset.data_release.root": str(tiny_release), "model.frozen": frozen}
    options["solver.0.train_cfg.max_iters"] = 1
    with pytest.raises(CheckpointError, match=told):
        train(MULTITASK, work_dir=tmp_path, load_from=str(tmp_path / "other.pth") if other else None, options=options)
    assert not list(tmp_path.glob("with-bn*"))


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Run ``tools/checkpoint.py`` in this process, and return what it says."""

    def run(*arguments):
        capsys.readouterr()  # what trainings said
        monkeypatch.setattr(sys, "argv", ["checkpoint.py", *map(str, arguments)])
        runpy.run_path(str(ROOT / "tools" / "checkpoint.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_a_task_is_taken_out_tuned_and_put_back_with_the_tools(multitask, tiny_release, tmp_path, run_tool):
    person, back = tmp_path / "person.pth", tmp_path / "back.pth"
    assert "branches.det_person" in run_tool("extract", PERSON, multitask, "-o", person)
    options = SMALL | {
        "model.frozen": ("backbone", "neck"),
        "train_dataloader.dataset.data_release.root": str(tiny_release),
        "train_cfg.max_iters": 2,
        "test_dataloader": None,
        "test_cfg": None,
        "test_evaluator": None,
    }
    train(PERSON, work_dir=tmp_path / "tuned", load_from=str(person), options=options)
    tuned = tmp_path / "tuned" / "with-bn-last.pth"
    told = run_tool("compose", MULTITASK, "--trunk", multitask, "--branch", f"det_person={tuned}", "-o", back)
    assert "WARNING" not in told
    check_that_only_person_learned(multitask, back)
    composed = outputs(MULTITASK, back)
    assert all(torch.equal(output, composed[name]) for name, output in outputs(PERSON, tuned).items())

    options = {
        "test_dataloader.dataset.data_release.root": str(tiny_release),
        "test_dataloader.dataset.pipeline.1.resize_hw": (72, 128),
        "test_dataloader.num_batch_per_epoch": 1,
        "test_dataloader.num_workers": 0,
    }
    metrics = run_test(MULTITASK, back, work_dir=tmp_path / "test", options=options)
    assert {"det_person/AP50", "seg_default/mIoU", "seg_lane/mIoU"} <= metrics.keys()


def test_a_composed_checkpoint_is_loaded_but_not_resumed(multitask, tiny_release, tmp_path):
    compose_checkpoint(PERSON, multitask, tmp_path / "person.pth")
    person = str(tmp_path / "person.pth")
    options = SMALL | {"train_dataloader.dataset.data_release.root": str(tiny_release)}
    with pytest.raises(CheckpointError, match="which samples it has seen"):
        train(PERSON, work_dir=tmp_path, resume=person, options=options)
    with pytest.raises(CheckpointError, match="give one of the two"):
        train(PERSON, work_dir=tmp_path, resume=person, load_from=person, options=options)
