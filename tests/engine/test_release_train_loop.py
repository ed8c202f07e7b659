import pytest

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
