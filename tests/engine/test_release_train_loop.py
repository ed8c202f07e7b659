from types import SimpleNamespace

import pytest
from mmengine.runner import Runner

from admlops.engine import release_runner, release_train_loop
from admlops.engine.config import load_config
from admlops.engine.release_runner import ReleaseRunner
from admlops.errors import CheckpointError, ConfigError

CONFIG = "configs/4pe_resize/det_person.py"


@pytest.fixture
def build_loop(tiny_release, tmp_path):
    """The train loop of a config on the tiny release, with options."""

    def build(**options):
        cfg = load_config(CONFIG, {"train_dataloader.dataset.data_release.root": str(tiny_release), **options}, tmp_path)
        for key in ("val_dataloader", "val_cfg", "val_evaluator", "test_dataloader", "test_cfg", "test_evaluator"):
            cfg[key] = None
        cfg.experiment_name = f"{tmp_path.name}_{len(options)}"
        runner = ReleaseRunner.from_cfg(cfg)
        return runner.build_train_loop(runner._train_loop)

    return build


def test_a_mix_for_another_batch_size_is_refused(build_loop):
    mix = {"ratio": {"det_person": 1}, "global_batch_size": 8}
    with pytest.raises(ConfigError, match="batches of another size") as caught:
        build_loop(**{"train_dataloader.batch_size": 4, "train_dataloader.sampler.mix": mix})
    assert "expected: 4" in str(caught.value)


def test_a_sampler_that_cannot_start_anywhere_is_refused(build_loop):
    with pytest.raises(ConfigError, match="start anywhere"):
        build_loop(**{"train_dataloader.sampler": {"type": "DefaultSampler", "shuffle": True}})


def test_no_iterations_are_refused(build_loop):
    with pytest.raises(ConfigError, match=r"max_iters is unusable"):
        build_loop(**{"train_cfg.max_iters": 0})


def test_a_checkpoint_without_a_position_cannot_be_resumed(build_loop):
    with pytest.raises(CheckpointError, match="which samples it has seen"):
        build_loop().load_state_dict(None)


def test_epochs_are_counted_in_samples(build_loop):
    loop = build_loop(**{"train_dataloader.batch_size": 4, "train_cfg.max_iters": 5})
    # Eight samples of one task: 5 x 4 samples start the third pass.
    assert loop.max_epochs == 3
    loop.samples_consumed = 16
    assert loop.epoch == 2


def test_a_schedule_over_epochs_is_refused(build_loop):
    loop = build_loop()
    runner = loop.runner
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    schedule = {"type": "MultiStepLR", "milestones": [8, 11]}
    runner.param_schedulers = runner.build_param_scheduler([schedule])
    with pytest.raises(ConfigError, match="would never step") as caught:
        loop.run()
    assert "by_epoch=False" in str(caught.value)


def test_validation_sees_the_statistics_of_the_first_rank(build_loop, monkeypatch):
    loop = build_loop(**{"train_cfg.max_iters": 1})
    runner = loop.runner
    runner.param_schedulers = []
    events = []
    monkeypatch.setattr(runner, "call_hook", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(loop, "run_iter", lambda _batch: setattr(loop, "_iter", 1))
    monkeypatch.setattr(release_train_loop, "broadcast", lambda buffer: events.append(buffer.data_ptr()))
    runner._val_loop = SimpleNamespace(run=lambda: events.append("validation"))
    monkeypatch.setattr(type(runner), "val_loop", property(lambda self: self._val_loop))
    loop.run()
    assert events == [*(buffer.data_ptr() for buffer in runner.model.buffers()), "validation"]


@pytest.mark.parametrize("is_main", [True, False])
def test_only_the_main_process_renames_a_checkpoint(build_loop, monkeypatch, tmp_path, is_main):
    runner = build_loop().runner
    # What another process may find at that moment.
    (tmp_path / ".some.pth.part").write_bytes(b"half")
    monkeypatch.setattr(Runner, "save_checkpoint", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(release_runner, "is_main_process", lambda: is_main)
    runner.save_checkpoint(str(tmp_path), "some.pth")
    assert (tmp_path / "some.pth").exists() == is_main


def test_a_loop_over_epochs_that_never_end_is_refused(build_loop):
    with pytest.raises(ConfigError, match="sampler that ends"):
        build_loop(**{"train_cfg": {"by_epoch": True, "max_epochs": 2}})
