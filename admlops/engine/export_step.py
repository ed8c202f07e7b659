"""What a step leaves for runtimes: ``<step>-export-last.onnx`` of the float training, of the last one, of the integers."""

from __future__ import annotations

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from admlops.data_release.lineage import lineage_path
from admlops.engine.lineage import derived_lineage, write_lineage
from admlops.engine.steps import Step, read_steps
from admlops.errors import AdmlopsError


def export_step(cfg: Config, step: Step) -> Path | None:
    """Export what a step ended with, for the runtime and the camera of the config's ``export_last``.

    A training is not lost over its export: where a package is missing, or a runtime cannot have the network, a warning says why
    and what to do, and ``tools/deploy.py`` exports later.

    Args:
        cfg: Config, loaded for the step.
        step: The step, done.

    Returns:
        The file; None where there is none: the step is followed by one that absorbs more, or it could not be exported.
    """
    options = cfg.get("export_last")
    if options is None or _absorbs_more_later(cfg, step):
        return None
    path = Path(cfg.work_dir) / f"{step.name}-export-last.onnx"
    # One of an earlier training would pass for this one's.
    path.unlink(missing_ok=True)
    lineage_path(path).unlink(missing_ok=True)
    try:
        _export(cfg, step.last(cfg.work_dir), path, options["target"], tuple(options["original_hw"]))
    except ModuleNotFoundError as error:
        reason = f"the package {error.name} is missing\n  try:      pip install 'admlops[deploy]', then tools/deploy.py"
    except AdmlopsError as error:
        reason = str(error)
    else:
        print_log(f"{step.name}: exported for {options['target']}, {path}", logger="current")
        return path
    print_log(f"{step.name}: no export for {options['target']}: {reason}", "current", logging.WARNING)
    return None


def _absorbs_more_later(cfg: Config, step: Step) -> bool:
    following = read_steps(cfg)[step.index + 1 :]
    return step.spec is not None and any(each.conversion is None for each in following)


def _export(cfg: Config, checkpoint: Path, path: Path, target: str, original_hw: tuple[int, int]) -> None:
    # Here, because training needs no onnx.
    from admlops.deploy.export import export
    from admlops.engine.export_geometry import export_geometry
    from admlops.engine.rungs import read_exportable

    network = read_exportable(cfg, checkpoint)
    lineage = derived_lineage("exported", {checkpoint: network.checkpoint}, path)
    export(network.graph, network.contract(export_geometry(cfg, original_hw), lineage), path, target)
    write_lineage(path, lineage)
