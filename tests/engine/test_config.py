import pytest

from admlops.engine.config import load_config, parse_options
from admlops.errors import ConfigError

MULTITASK, PERSON = "configs/4pe_resize/multitask.py", "configs/4pe_resize/det_person.py"


@pytest.fixture
def config_file(tmp_path):
    """A config made of one line of text."""

    def write(text):
        file = tmp_path / "some.py"
        file.write_text(text + "\n")
        return file

    return write


def test_options_are_python_literals_words_or_strings():
    options = parse_options(["a=1", "b.c=(256,480)", "d={'x': [1]}", "e=true", "f=None", "g=some/path", "h=1e-3"])
    assert options == {"a": 1, "b.c": (256, 480), "d": {"x": [1]}, "e": True, "f": None, "g": "some/path", "h": 1e-3}


def test_an_option_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="lacks its value"):
        parse_options(["resume"])


def test_options_change_scalars_tuples_and_list_elements():
    options = {"train_dataloader.dataset.pipeline.2.crop_hw": (256, 480), "solver.0.train_cfg.max_iters": 7}
    cfg = load_config(MULTITASK, options)
    assert cfg.train_dataloader.dataset.pipeline[2].crop_hw == (256, 480)
    assert cfg.train_cfg.max_iters == 7
    assert cfg.work_dir == "work_dirs/4pe_resize/multitask"


def test_an_argument_that_the_class_has_may_be_added():
    cfg = load_config(MULTITASK, {"model.backbone.paper_head": True})
    assert cfg.model.backbone.paper_head is True


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("train_dataloader.pin_memory", True),
        ("randomness.deterministic", True),
        ("solver.0.optim_wrapper.clip_grad.norm_type", 1),
        ("model.branches.det_person.skip_partial", True),
        ("custom_hooks.0.priority", "LOW"),
        ("default_hooks.checkpoint.save_best", "det/AP50"),
    ],
)
def test_a_key_that_is_known_may_be_added(option, value):
    node = load_config(MULTITASK, {option: value})
    for key in option.split("."):
        node = node[int(key)] if key.isdigit() else node[key]
    assert node == value


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        # A variable that only built others: the paths that work are named.
        ("crop_hw", "train_dataloader.dataset.pipeline.2.crop_hw"),
        ("train_cfg.max_iters", "solver.0.train_cfg.max_iters"),
        ("model.backbon.arch", "model.backbone.arch"),
        ("model.backbone.archi", "model.backbone.arch"),
        ("default_hooks.checkpoint.intervl", "default_hooks.checkpoint.interval"),
        ("model.branches.det_persn.loss_weight", "model.branches.det_person.loss_weight"),
    ],
)
def test_an_option_that_nobody_reads_is_refused_with_the_path_that_works(option, remedy):
    with pytest.raises(ConfigError, match="nobody reads") as caught:
        load_config(MULTITASK, {option: 1})
    assert remedy in str(caught.value)


def test_a_misspelled_top_level_key_is_refused(config_file):
    with pytest.raises(ConfigError, match="'custom_hook'") as caught:
        load_config(config_file("custom_hook = []"))
    assert "did you mean 'custom_hooks'?" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "path", "remedy"),
    [
        ("model = dict(type='VarGNetV2', group_bas=8)", "model.group_bas", "group_base"),
        ("train_dataloader = dict(batchsize=8)", "train_dataloader.batchsize", "batch_size"),
        ("optim_wrapper = dict(clip_grad=dict(maxnorm=1))", "optim_wrapper.clip_grad.maxnorm", "max_norm"),
        ("custom_hooks = [dict(type='OverlayHook', num_picture=1)]", "custom_hooks.0.num_picture", "num_pictures"),
        (
            "model = dict(type='MultiTaskDetector', branches=dict(a=dict(lossweight=1)))",
            "model.branches.a.lossweight",
            "loss_weight",
        ),
    ],
)
def test_a_key_that_the_class_does_not_take_is_refused(config_file, text, path, remedy):
    with pytest.raises(ConfigError, match="nobody reads") as caught:
        load_config(config_file(text))
    assert repr(path) in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "custom_hooks = [dict(type='EMAHook', priority=49), dict(type='OverlayHook', priority='LOW')]",
        "custom_hooks = [dict(type='EarlyStoppingHook', monitor='det/AP50', rule='greater', patience=3)]",
        "default_hooks = dict(checkpoint=dict(type='CheckpointHook', save_best='det/AP50', rule='greater', priority='LOW'))",
        "param_scheduler = [dict(type='MultiStepLR', milestones=[8, 11], end=12, convert_to_iter_based=True)]",
        "param_scheduler = dict(type='LinearLR', start_factor=0.1, by_epoch=False)",
        "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1), clip_grad=dict(type='value', clip_value=1.0))",
        "optim_wrapper = dict(constructor='Own', optimizer=dict(type='AdamW', lr=1e-3), paramwise_cfg=dict(decay_rate=0.9))",
        "auto_scale_lr = dict(enable=True, base_batch_size=16)",
        "visualizer = dict(type='Visualizer', vis_backends=[dict(type='WandbVisBackend', init_kwargs=dict(project='a'))])",
        "load_from = 'checkpoints/some.pth'",
        "custom_imports = dict(imports=['json'], allow_failed_imports=False)",
        "compile = dict(backend='eager')",
    ],
)
def test_what_mmengine_reads_is_accepted(config_file, text):
    load_config(config_file(text))


def test_what_one_hook_may_have_another_still_may_not(config_file):
    load_config(config_file("custom_hooks = [dict(type='OverlayHook', priority='LOW')]"))
    with pytest.raises(ConfigError, match="nobody reads"):
        load_config(config_file("model = dict(type='OverlayHook', priority='LOW')"))


def test_an_unknown_type_is_refused_with_the_nearest(config_file):
    with pytest.raises(ConfigError, match="no registry knows") as caught:
        load_config(config_file("model = dict(type='VarGNetV3')"))
    assert "VarGNetV2" in str(caught.value)


def test_a_missing_config_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="no such config") as caught:
        load_config("configs/4pe_resize/multitsk.py")
    assert "configs/4pe_resize/multitask.py" in str(caught.value)
    with pytest.raises(ConfigError, match="no such config") as caught:
        load_config("projects/god/configs/multi_tsk.py")
    assert "projects/god/configs/multi_task.py" in str(caught.value)


def test_a_step_replaces_values_and_names_checkpoints():
    cfg = load_config(MULTITASK, {"solver.1.train_cfg.max_iters": 3}, step=1)
    assert (cfg.step, cfg.train_cfg.max_iters) == (1, 3)
    assert cfg.default_hooks.checkpoint.filename_tmpl == "fusion-bn-c1-{:04d}.pth"
    with pytest.raises(ConfigError, match="no step 4") as caught:
        load_config(MULTITASK, step=4)
    assert "0 with-bn, 1 fusion-bn-c1, 2 fusion-bn-c2, 3 int-inference" in str(caught.value)


def test_a_config_without_solver_is_its_own_only_step(config_file):
    file = config_file("train_cfg = dict(by_epoch=False, max_iters=3)")
    assert load_config(file).step == 0
    with pytest.raises(ConfigError, match="no step 1") as caught:
        load_config(file, step=1)
    assert "quantized_steps" in str(caught.value)


def test_an_option_that_the_step_replaces_is_refused_with_the_path_that_works():
    options = {"train_cfg.max_iters": 3}
    assert load_config(PERSON, options).train_cfg.max_iters == 3
    with pytest.raises(ConfigError, match="nobody reads") as caught:
        load_config(PERSON, options, step=1)
    assert "what works is solver.1.train_cfg.max_iters" in str(caught.value)


@pytest.mark.parametrize(
    ("option", "nearest"),
    [("quantization.weight_bit", "weight_bits"), ("solver.1.observers.observe_untill", "observe_until")],
)
def test_a_misspelled_value_of_quantization_is_refused(option, nearest):
    with pytest.raises(ConfigError, match="nobody reads") as caught:
        load_config(MULTITASK, {option: 1})
    assert nearest in str(caught.value)


def test_hooks_may_be_switched_off():
    cfg = load_config(MULTITASK, {"default_hooks.checkpoint": None})
    assert cfg.default_hooks.checkpoint is None


def test_a_config_of_a_package_that_is_not_installed_says_so(config_file):
    with pytest.raises(ConfigError, match="needs the package 'not_there'") as caught:
        load_config(config_file('custom_hooks = [dict(type="not_there.Hook")]'))
    assert "docs/install.md" in str(caught.value)
