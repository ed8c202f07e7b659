import os

import pytest
from mmengine.config import Config

from admlops.engine.pipeline_test import shorten
from admlops.engine.train import _set_up_resume
from admlops.errors import CheckpointError, ConfigError


@pytest.fixture
def work_dir(tmp_path):
    for seconds, name in enumerate(("with-bn-init.pth", "with-bn-0200.pth", "with-bn-0400.pth", ".with-bn-0600.pth.part")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (seconds, seconds))
    return tmp_path


def resumed_from(work_dir, resume="auto", step="with-bn"):
    cfg = Config({"work_dir": str(work_dir)})
    _set_up_resume(cfg, resume, step)
    return cfg.load_from


def test_the_noted_checkpoint_is_resumed(work_dir):
    (work_dir / "last_checkpoint").write_text(str(work_dir / "with-bn-0200.pth"))
    assert resumed_from(work_dir) == str(work_dir / "with-bn-0200.pth")


@pytest.mark.parametrize("note", ["", "/moved/away/with-bn-0400.pth", None])
def test_without_a_usable_note_the_newest_is_resumed(work_dir, note):
    if note is not None:
        (work_dir / "last_checkpoint").write_text(note)
    assert resumed_from(work_dir) == str(work_dir / "with-bn-0400.pth")


def test_another_steps_checkpoints_are_not_resumed(work_dir):
    (work_dir / "last_checkpoint").write_text(str(work_dir / "with-bn-0400.pth"))
    with pytest.raises(CheckpointError, match="nothing to resume") as caught:
        resumed_from(work_dir, step="fusion-bn-c1")
    assert "step fusion-bn-c1" in str(caught.value)
    (work_dir / "fusion-bn-c1-0100.pth").touch()
    assert resumed_from(work_dir, step="fusion-bn-c1") == str(work_dir / "fusion-bn-c1-0100.pth")


def test_a_named_checkpoint_that_is_missing_is_refused(work_dir):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        resumed_from(work_dir, str(work_dir / "none.pth"))


def test_a_pipeline_test_without_validation_is_refused():
    with pytest.raises(ConfigError, match="needs a validation"):
        shorten(Config({"val_dataloader": None}))
