from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook
from torch import nn

from admlops.engine.batch_norm_statistics import estimate_statistics, read_statistics
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.hooks import AdaptBatchNormHook
from admlops.engine.pipeline_test import shorten
from admlops.engine.release_runner import ReleaseRunner
from admlops.errors import ConfigError
from admlops.registry import MODELS

CONFIG = "configs/4pe_resize/multitask.py"


def shrink(node):
    """Give every transform of a config small sizes."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key in {"resize_hw", "crop_hw"}:
            node[key] = (72, 128) if key == "resize_hw" else (64, 96)
        elif isinstance(value, dict | list):
            shrink(value)


def batches(*values):
    return (lambda network, value=value: network(torch.tensor(value).reshape(-1, 1, 1, 2)) for value in values)


def test_statistics_are_those_of_all_pixels_as_one_batch():
    bn = nn.BatchNorm2d(1)
    # 0 2 4 6 8 10: mean 5, sum of squared distances 70, and 70 / 5.
    ((mean, variance),) = estimate_statistics(bn, batches([0.0, 2.0], [4.0, 6.0, 8.0, 10.0])).values()
    assert (mean.item(), variance.item()) == (5.0, 14.0)
    # What is far from 0 keeps its variance.
    ((mean, variance),) = estimate_statistics(bn, batches([4096.0, 4098.0], [4100.0, 4102.0])).values()
    assert (mean.item(), variance.item()) == (4099.0, pytest.approx(20 / 3))


def test_layers_normalise_by_the_batch_and_frozen_ones_by_their_own():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(1, affine=False))
    with torch.no_grad():
        network[0].weight.fill_(3.0)
        network[0].bias.fill_(7.0)
    found = estimate_statistics(network, batches([0.0, 2.0], [40.0, 60.0]))
    # The second layer sees 7 - 3 and 7 + 3 in either batch.
    assert found["1"][0].item() == pytest.approx(7.0)
    assert found["1"][1].item() == pytest.approx(4 * 9 / 3, rel=1e-4)


def test_network_is_left_as_it_was():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.BatchNorm2d(1, track_running_stats=False))
    network.train()
    network[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert list(estimate_statistics(network, batches([0.0, 2.0]))) == ["0"]
    assert [module.training for module in network] == [True, False, True]
    assert network[0].track_running_stats
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network(torch.zeros(1, 1, 1, 2))
    assert network[0].num_batches_tracked == 1


@pytest.fixture
def train(tiny_release, tmp_path):
    """Train two iterations with a validation after each; return the runner and what is on disk."""

    def run(name, *hooks, **options):
        roots = {f"{split}_dataloader.dataset.data_release.root": str(tiny_release) for split in ("train", "val")}
        loading = {"train_dataloader.batch_size": 2, "train_dataloader.num_workers": 0, "val_dataloader.num_workers": 0}
        steps = {"solver.0.train_cfg.max_iters": 2, "solver.0.train_cfg.val_interval": 1}
        cfg = load_config(CONFIG, roots | loading | steps | options, tmp_path / name)
        cfg.experiment_name = f"{tmp_path.name}_{name}"
        cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
        shrink(cfg.train_dataloader.dataset.pipeline)
        shrink(cfg.val_dataloader.dataset.pipeline)
        cfg.val_dataloader.num_batch_per_epoch = 1
        kept = [hook for hook in cfg.custom_hooks if type_name(hook) not in {"OverlayHook", "ReportHook"}]
        cfg.custom_hooks = [*kept, *hooks]
        runner = ReleaseRunner.from_cfg(cfg)
        runner.train()
        return runner, torch.load(tmp_path / name / "with-bn-last.pth", weights_only=True)

    return run


def test_validation_and_last_checkpoint_get_them_and_training_does_not(train, tmp_path, monkeypatch):
    validated = []
    val_step = ReleaseRunner.build_val_loop

    def spied(self, loop):
        built = val_step(self, loop)
        run_iter = built.run_iter
        built.run_iter = lambda idx, batch: (validated.append(read_statistics(self.network)), run_iter(idx, batch))
        return built

    monkeypatch.setattr(ReleaseRunner, "build_val_loop", spied)
    torch.save({"state_dict": MODELS.build(load_config(CONFIG).model).state_dict()}, tmp_path / "start.pth")
    frozen = {"model.frozen": ("branches.det_rear",), "load_from": str(tmp_path / "start.pth")}
    _, plain = train("plain", **frozen)
    assert len(validated) == 2
    hook = {"type": "AdaptBatchNormHook", "sources": ["masks"], "num_batches": 2}
    runner, adapted = train("adapted", hook, **frozen)

    # Training: weights, optimizer and running statistics are those of a run without the hook.
    for name, value in plain["ema_state_dict"].items():
        assert torch.equal(adapted["ema_state_dict"][name], value), name
    assert plain["sampler"] == adapted["sampler"]
    # The last checkpoint: averaged weights, and the statistics that the last validation had.
    statistics = validated[-1]
    for name, value in plain["state_dict"].items():
        layer, _, kind = name.rpartition(".")
        if kind in {"running_mean", "running_var"} and not name.startswith("branches.det_rear."):
            assert torch.equal(adapted["state_dict"][name], statistics[layer][kind == "running_var"]), name
            assert not torch.equal(adapted["state_dict"][name], value), name
        else:
            assert torch.equal(adapted["state_dict"][name], value), name

    # They are those of the averaged weights over two batches of the one source.
    loader = next(hook for hook in runner.hooks if isinstance(hook, AdaptBatchNormHook))._loader
    iterator = iter(loader)
    images = [next(iterator) for _ in range(2)]
    assert {sample.source for batch in images for sample in batch["data_samples"]} == {"masks"}
    averaged = next(hook for hook in runner.hooks if isinstance(hook, EMAHook)).ema_model.module
    inputs = torch.cat([averaged.data_preprocessor(batch, training=True)["inputs"] for batch in images])
    stem = "backbone.stem"
    convolved = averaged.get_submodule(f"{stem}.conv")(inputs)
    torch.testing.assert_close(statistics[f"{stem}.bn"][0], convolved.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(statistics[f"{stem}.bn"][1], convolved.var(dim=(0, 2, 3)))


class Toy(nn.Sequential):
    def data_preprocessor(self, batch, training):
        assert training
        return batch

    def forward(self, inputs, mode):
        assert mode == "tensor"
        return super().forward(inputs)


def test_without_averaged_weights_the_network_itself_is_adapted():
    network = Toy(nn.BatchNorm2d(1))
    runner = SimpleNamespace(network=network, hooks=[], iter=3)
    hook = AdaptBatchNormHook(num_batches=2)
    # A validation outside training has nothing to estimate from.
    hook.before_val_epoch(runner)
    hook.after_val_epoch(runner)
    hook._loader = [{"inputs": torch.tensor(value).reshape(1, 1, 1, 2)} for value in ([0.0, 2.0], [4.0, 6.0], [99.0, 99.0])]
    hook.before_val_epoch(runner)
    assert (network[0].running_mean.item(), network[0].running_var.item()) == (3.0, pytest.approx(20 / 3))
    hook.after_val_epoch(runner)
    assert (network[0].running_mean.item(), network[0].running_var.item()) == (0.0, 1.0)
    hook.after_train(runner)
    assert network[0].running_mean.item() == 3.0


def test_a_pipeline_test_has_other_sources():
    cfg = load_config(CONFIG)
    cfg.custom_hooks.append({"type": "AdaptBatchNormHook", "sources": ["camera"]})
    shorten(cfg)
    assert cfg.custom_hooks[-1] == {"type": "AdaptBatchNormHook", "sources": None, "num_batches": 2}


def test_an_unknown_source_is_refused_before_training(train):
    with pytest.raises(ConfigError, match=r"(?s)name 'mask'.*did you mean 'masks'"):
        train("unknown", {"type": "AdaptBatchNormHook", "sources": ["mask"]})
    with pytest.raises(ConfigError, match="num_batches is unusable"):
        AdaptBatchNormHook(num_batches=0)
