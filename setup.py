"""Packaging: what is installed, with which extras, and how OpenMIM finds configs and tools in it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.dist_info import dist_info
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
MIM_RESOURCES = ("configs", "tools", "projects", "model-index.yml")


def read_version() -> str:
    """Read ``__version__`` without importing the package, which would need PyTorch."""
    text = (ROOT / "admlops" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if match is None:
        raise RuntimeError("admlops/__init__.py states no __version__")
    return match.group(1)


def read_requirements(name: str) -> list[str]:
    """Read the requirements of a file in ``requirements/`` without its comments."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    stripped = (line.split("#", 1)[0].strip() for line in lines)
    return [line for line in stripped if line]


class BuildWithMimResources(build_py):
    """Give the package its ``.mim`` folder: copies in a wheel, links to the checkout in an editable install."""

    def run(self) -> None:
        """Build the modules, then the ``.mim`` folder."""
        super().run()
        mim_dir = (ROOT if self.editable_mode else Path(self.build_lib)) / "admlops" / ".mim"
        if mim_dir.exists():
            shutil.rmtree(mim_dir)
        mim_dir.mkdir(parents=True)
        for name in MIM_RESOURCES:
            source, target = ROOT / name, mim_dir / name
            if self.editable_mode:
                target.symlink_to(Path("..", "..", name))
            elif source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy2(source, target)


def show_checkout_to_mim(dist_info_dir: Path) -> None:
    """Tell OpenMIM where an editable install lies.

    OpenMIM joins the folder of the metadata (site-packages) and the first line of ``top_level.txt``, which misses every
    editable install of PEP 660. An absolute path in that line makes the join lead to the checkout. The second line is the
    usual content.
    """
    (dist_info_dir / "top_level.txt").write_text(f"{ROOT / 'admlops'}\nadmlops\n", encoding="utf-8")


class EditableWheelForMim(editable_wheel):
    """Complete metadata that was made beforehand; what is made during the build, DistInfoForMim completes."""

    def run(self) -> None:
        """Build the wheel."""
        if self.dist_info_dir:
            show_checkout_to_mim(Path(self.dist_info_dir))
        super().run()


class DistInfoForMim(dist_info):
    """Complete metadata that is made for an editable wheel."""

    def run(self) -> None:
        """Make the metadata."""
        super().run()
        if self.distribution.get_command_obj("editable_wheel", create=False) is not None:
            show_checkout_to_mim(Path(self.dist_info_dir))


setup(
    name="admlops",
    version=read_version(),
    description="MLOps tool box for autonomous-driving perception, an OpenMMLab extension",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    packages=find_packages(include=["admlops", "admlops.*"]),
    python_requires=">=3.10,<3.13",
    entry_points={"console_scripts": ["admlops=admlops.cli.main:main"]},
    # Ranges, and neither PyTorch nor mm* nor OpenCV: which build of those fits depends on the machine (see requirements/).
    install_requires=[
        "numpy>=1.24,<2",
        "click>=8.1",
        "ijson>=3.2",
        "orjson>=3.9",
        "pydantic>=2.5,<3",
        "scipy>=1.10",
        "simplejpeg>=1.7",
        "matplotlib>=3.8",
        "pillow>=10",
        "faster-coco-eval>=1.6",
        "tensorboard>=2.14",
        "tqdm>=4.65",
        "PyYAML>=6",
    ],
    extras_require={
        "av2": read_requirements("av2"),
        "deploy": read_requirements("deploy"),
        "lidar": read_requirements("lidar"),
        "mim": read_requirements("mminstall"),
        "s3": read_requirements("s3"),
        "tests": read_requirements("tests"),
    },
    cmdclass={"build_py": BuildWithMimResources, "dist_info": DistInfoForMim, "editable_wheel": EditableWheelForMim},
    zip_safe=False,
)
