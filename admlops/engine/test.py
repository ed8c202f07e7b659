"""Measure a network on any rung, from the float checkpoint to a runtime: what ``tools/test.py`` calls."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from admlops.deploy.backends.backend import Backend, open_backend
from admlops.deploy.input_geometry import Geometry
from admlops.deploy.onnx_writer import CANVAS
from admlops.engine import launch
from admlops.engine.checkpoint import read_checkpoint
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.export_geometry import export_geometry, use_geometry
from admlops.engine.release_runner import ReleaseRunner
from admlops.engine.rung_model import RungModel, SizedBackends, file_predict, integer_predict, network_predict
from admlops.engine.rungs import INTEGER, QAT, TORCH, choose_backend, read_exportable
from admlops.engine.steps import load_network
from admlops.errors import ConfigError, ExportError
from admlops.quantization.trace import EXAMPLE_SHAPE
from admlops.task_spec import resolve_task

EXPORT_SUFFIX = ".onnx"


def run_test(
    config: str | Path,
    model: str | Path,
    *,
    backend: str | None = None,
    input_hw: tuple[int, int] | None = None,
    work_dir: str | Path | None = None,
    show_dir: str | Path | None = None,
    out: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    ctx: str | None = None,
) -> dict[str, float]:
    """Evaluate a network on the test data of a config. Data, decoding, metric and report are the same on every rung.

    Args:
        config: Config file.
        model: A checkpoint of any step of its solver; or an exported file, which is measured in its own geometry.
        backend: A name in ``rungs.BACKENDS``; by default the one that computes the file as it is.
        input_hw: Measure a checkpoint in the geometry of an export for a camera with images of this height and width, px.
        work_dir: Where the report goes; ``work_dirs/<folder>/<config name>`` by default.
        show_dir: Draw every picture, truth beside prediction, into this folder.
        out: Write the predictions as records (``predictions.jsonl`` and masks) into this folder.
        options: Config values by dotted path.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        ctx: GPU ids.

    Returns:
        The metrics by name.

    Raises:
        ConfigError: The config cannot run, or the file predicts other tasks than it measures.
        CheckpointError: The checkpoint is missing, unsafe, does not fit, or the backend cannot compute it.
        ExportError: The exported file is missing or damaged, or of no use for a test.
        MachineError: The runtime is not installed.
    """
    cfg = load_config(config, options, work_dir)
    launch.choose_devices(cfg, ctx, launcher)
    launch.set_up_processes(cfg, launcher)
    _keep_test_only(cfg, show_dir, out)
    with ExitStack() as stack:
        if Path(model).suffix == EXPORT_SUFFIX:
            runner = _runner_of_export(cfg, model, backend, input_hw)
        else:
            if input_hw is not None:
                use_geometry(cfg, export_geometry(cfg, input_hw))
            runner = _runner_of_checkpoint(cfg, model, backend, stack)
        return dict(runner.test())


def _keep_test_only(cfg: Config, show_dir: str | Path | None, out: str | Path | None) -> None:
    # The checkpoint's weights are the averaged ones already.
    unwanted = {"EMAHook"} if show_dir is None else {"EMAHook", "OverlayHook"}
    cfg.custom_hooks = [hook for hook in cfg.get("custom_hooks") or [] if type_name(hook) not in unwanted]
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "val_dataloader", "val_cfg"):
        cfg[key] = None
    cfg.val_evaluator = None
    if show_dir is not None:
        cfg.custom_hooks.append({"type": "OverlayHook", "num_pictures": None, "out_dir": str(show_dir)})
    if out is not None:
        cfg.custom_hooks.append({"type": "PredictionDumpHook", "out_dir": str(out)})


def _runner_of_checkpoint(cfg: Config, path: str | Path, backend: str | None, stack: ExitStack) -> ReleaseRunner:
    checkpoint = read_checkpoint(path)
    chosen = choose_backend(checkpoint, path, backend)
    runner: ReleaseRunner
    if chosen in {TORCH, QAT}:
        runner = ReleaseRunner.from_cfg(cfg)
        load_network(runner.network, checkpoint, path)
        _note_model(runner, path, checkpoint, chosen)
        return runner
    network = read_exportable(cfg, path)
    if chosen == INTEGER:
        predict = integer_predict(network)
    else:
        backends = SizedBackends(network, chosen, stack.enter_context(TemporaryDirectory(prefix="admlops-")))
        # A missing runtime or a network that it refuses shows here, before the test begins.
        backends(network.detector.empty_input((EXAMPLE_SHAPE[2], EXAMPLE_SHAPE[3])))
        predict = network_predict(network, backends)
    runner = ReleaseRunner.from_cfg(cfg)
    runner.model = RungModel(predict)
    _note_model(runner, path, checkpoint, chosen)
    return runner


def _runner_of_export(cfg: Config, path: str | Path, backend: str | None, input_hw: tuple[int, int] | None) -> ReleaseRunner:
    if backend in {TORCH, QAT, INTEGER}:
        raise ExportError(
            f"the backend {backend} cannot compute an exported file",
            where=path,
            expected="a runtime, or no --backend: the file names its own",
            got=f"--backend {backend}",
            remedy="give the checkpoint that the file was made of",
        )
    opened = open_backend(path, backend)
    _require_predictions(cfg, opened, path)
    if isinstance(opened.contract.geometry, Geometry):
        _use_camera(cfg, opened.contract.geometry, path, input_hw)
    elif {each.name for each in opened.contract.geometry.inputs} == {CANVAS}:
        raise ExportError(
            "the file begins behind the encoder, which a test needs",
            where=path,
            got=f"input {CANVAS}",
            remedy="give the checkpoint that it was made of, or an export of the whole network",
        )
    elif input_hw is not None:
        raise ExportError(
            "the file reads no pictures",
            where=path,
            expected="no --input-shape: the file has no camera",
            got=f"--input-shape {'x'.join(map(str, input_hw))}",
            remedy="leave --input-shape away",
        )
    runner: ReleaseRunner = ReleaseRunner.from_cfg(cfg)
    runner.model = RungModel(file_predict(opened))
    _note_model(runner, path, {"lineage": dict(opened.contract.lineage)}, backend or "the file's own")
    return runner


def _use_camera(cfg: Config, geometry: Geometry, path: str | Path, input_hw: tuple[int, int] | None) -> None:
    if input_hw not in {None, geometry.original_hw}:
        raise ExportError(
            "the file was exported for another camera",
            where=path,
            expected="x".join(map(str, geometry.original_hw)),
            got=f"--input-shape {'x'.join(map(str, input_hw or ()))}",
            remedy="leave --input-shape away, or export the checkpoint for this camera",
        )
    use_geometry(cfg, geometry)


def _require_predictions(cfg: Config, opened: Backend, path: str | Path) -> None:
    if not opened.contract.decoded:
        raise ExportError(
            "the file gives raw outputs",
            where=path,
            expected="boxes, scores, labels and masks",
            got=", ".join(opened.contract.outputs),
            remedy="export it without --raw-outputs",
        )
    predicted = {branch.spec.task.name: branch.spec.task.classes for branch in opened.contract.branches}
    measured = {task.name: task.classes for task in (resolve_task(metric.task) for metric in cfg.test_evaluator.metrics)}
    for name, classes in measured.items():
        if predicted.get(name) != classes:
            raise ConfigError(
                f"the config measures {name!r} as the file does not predict it",
                where=path,
                expected=f"{name} with {', '.join(classes)}",
                got=", ".join(predicted[name]) if name in predicted else f"a file that predicts {', '.join(predicted)}",
                remedy="give the config that the file was exported with",
            )


def _note_model(runner: ReleaseRunner, path: str | Path, checkpoint: Mapping[str, Any], backend: str) -> None:
    """Let the report say what was measured."""
    runner.loaded_from, runner.backend = str(path), backend
    if is_main_process():
        runner.lineage.note_loaded(str(path), checkpoint)
    print_log(f"testing {path} on {backend}", logger="current")
