"""What an installed package carries, and that OpenMIM trains and tests with it, from a checkout and from a wheel."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from admlops import __version__

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("admlops", "configs", "tools", "projects", "requirements")
PACKAGED = (*FOLDERS, "setup.py", "pyproject.toml", "MANIFEST.in", "model-index.yml")
CONFIG = "multitask_demo.py"


def run(*words, cwd, **environ):
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=os.environ | environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what packaging reads: building writes into it."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in PACKAGED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".mim"))
        else:
            shutil.copy(source, copy)
    return copy


@pytest.fixture(scope="module", params=["editable", "wheel"])
def installed(request, checkout, tmp_path_factory):
    """The folder that `pip install [-e] .` would fill, and the environment in which Python sees it."""
    build = tmp_path_factory.mktemp("build")
    hook = {"editable": "build_editable", "wheel": "build_wheel"}[request.param]
    run(sys.executable, "-c", f"from setuptools import build_meta; build_meta.{hook}({str(build)!r})", cwd=checkout)
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(build.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    path = [str(site), str(checkout)] if request.param == "editable" else [str(site)]
    return request.param, site, {"PYTHONPATH": os.pathsep.join(path)}


def test_package_carries_configs_tools_and_index(installed, checkout):
    kind, site, _ = installed
    mim = (checkout if kind == "editable" else site) / "admlops" / ".mim"
    folders = ("4pe_crop/multitask.py", f"4pe_resize/{CONFIG}", "_base_/default_runtime.py")
    plug_in = ("projects/god/god/geometry.py", "projects/god/setup.py", "projects/god/configs/multi_task.py")
    for name in (*(f"configs/{name}" for name in folders), *plug_in, "tools/train.py", "model-index.yml"):
        assert (mim / name).is_file(), name
    # Editing a config of the checkout has to change what an editable install runs.
    assert (mim / "configs").is_symlink() == (kind == "editable")
    metadata = next(site.glob("admlops-*.dist-info"))
    assert metadata.name == f"admlops-{__version__}.dist-info"
    first_line = (metadata / "top_level.txt").read_text().splitlines()[0]
    assert first_line == (str(checkout / "admlops") if kind == "editable" else "admlops")


def test_a_config_of_the_plug_in_loads_from_anywhere(installed, tmp_path):
    code = "from admlops.engine.config import load_config; print(load_config('projects/god/configs/multi_task.py').work_dir)"
    assert run(sys.executable, "-W", "ignore", "-c", code, cwd=tmp_path, **installed[2]).endswith("work_dirs/god/multi_task\n")


def test_source_distribution_builds_what_the_checkout_builds(checkout, tmp_path):
    run(sys.executable, "-c", f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})", cwd=checkout)
    with tarfile.open(tmp_path / f"admlops-{__version__}.tar.gz") as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    needed = {str(path.relative_to(checkout)) for name in FOLDERS for path in (checkout / name).rglob("*.py")}
    needed = {name for name in needed if ".mim" not in name}
    assert needed - packed == set()
    assert {"model-index.yml", "requirements/lidar.txt"} <= packed


def test_metadata_names_no_package_that_depends_on_the_machine(installed):
    _, site, _ = installed
    lines = next(site.glob("admlops-*.dist-info/METADATA")).read_text().splitlines()
    dependencies = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    required = [line for line in dependencies if "extra ==" not in line]
    assert any(line.startswith("numpy") for line in required)
    assert [line for line in required if line.startswith(("torch", "mm", "opencv"))] == []
    assert {"deploy", "lidar", "mim", "s3", "tests"} <= {line.split()[1] for line in lines if line.startswith("Provides-Extra")}


def test_mim_trains_and_tests(installed, tiny_release, tmp_path):
    kind, site, environ = installed
    sizes = {
        "train_dataloader.dataset.pipeline.1.resize.resize_hw": "(72,128)",
        "train_dataloader.dataset.pipeline.2.crop_hw": "(64,96)",
        "test_dataloader.dataset.pipeline.1.resize_hw": "(72,128)",
        "train_dataloader.dataset.data_release.root": tiny_release,
        "test_dataloader.dataset.data_release.root": tiny_release,
        "train_dataloader.batch_size": 2,
        "solver.0.train_cfg.max_iters": 1,
        "val_dataloader": None,
        "val_cfg": None,
        "val_evaluator": None,
    }
    options = ["--cfg-options", *(f"{key}={value}" for key, value in sizes.items())]
    mim = [sys.executable, "-m", "mim"]
    # From a folder where the config's name alone says nothing: OpenMIM has to find it in the package.
    output = run(
        *mim, "train", "admlops", CONFIG, "--gpus", "0", "--launcher", "none", "--work-dir", tmp_path / "run", *options,
        cwd=tmp_path, **environ,
    )  # fmt: skip
    assert "Training finished successfully" in output
    assert str(site / "admlops" if kind == "wheel" else "admlops/.mim/tools/train.py") in output
    checkpoint = tmp_path / "run" / "with-bn-last.pth"
    assert checkpoint.is_file()
    if kind == "editable":
        output = run(
            *mim, "test", "admlops", CONFIG, "--checkpoint", checkpoint, "--work-dir", tmp_path / "test", *options,
            cwd=tmp_path, **environ,
        )  # fmt: skip
        assert "Testing finished successfully" in output
        assert (tmp_path / "test" / "metrics.json").is_file()


def test_mim_shows_the_index(installed, tmp_path):
    shown = run(sys.executable, "-m", "mim", "search", "admlops", cwd=tmp_path, **installed[2])
    assert "4pe_resize-multitask" in shown
    assert "4pe_crop-multitask" in shown


def test_mim_wants_the_path_of_a_config_whose_name_two_networks_have(installed, tmp_path):
    command = [sys.executable, "-m", "mim", "train", "admlops", "multitask.py", "--gpus", "0", "--launcher", "none"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | installed[2], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    for name in ("4pe_crop/multitask.py", "4pe_resize/multitask.py"):
        assert name in done.stderr
