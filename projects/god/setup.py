"""Packaging of the lidar plug-in; ``pip install -e projects/god`` makes ``god`` importable."""

from setuptools import find_packages, setup

setup(
    name="admlops-god",
    version="2.0.0",
    description="General obstacle detection and drivable area on a lidar BEV grid, an mmdet3d plug-in of ADMLOps",
    packages=find_packages(include=["god", "god.*"]),
    python_requires=">=3.10,<3.13",
    install_requires=["admlops", "mmdet3d==1.4.0", "shapely>=2"],
    zip_safe=False,
)
