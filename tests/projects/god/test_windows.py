"""Training sees windows of the grid: what they show, and that nothing in them depends on what they leave out."""

import numpy as np
import pytest

from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.synthetic.lidar.domain import TRAIN
from admlops.synthetic.lidar.point_labels import INSTANCE_SHIFT
from admlops.synthetic.lidar.scene import sample_scene
from god.geometry import BevGrid
from god.rasterize import LabelledSweep, label_drivable, label_ground_classes, label_obstacles
from god.taxonomy import GROUND


def steps_of(loader):
    return {type_name(step): step for step in loader.dataset.pipeline}


@pytest.mark.parametrize(("config", "cell_m"), [("multi_task", 0.2), ("god_hd", 0.05)])
def test_a_shifted_sweep_shows_any_part_of_the_grid_to_the_window(config, cell_m):
    cfg = load_config(f"projects/god/configs/{config}.py")
    grid = BevGrid(**cfg.model.data_preprocessor.grid)
    train, test = steps_of(cfg.train_dataloader), steps_of(cfg.test_dataloader)
    window = BevGrid(**train["PackBevInputs"].grid)
    assert BevGrid(**train["RasterizeBevLabels"].grid) == window
    assert BevGrid(**test["RasterizeBevLabels"].grid) == BevGrid(**test["PackBevInputs"].grid) == grid
    assert (grid.cell_m, window.cell_m, window.shape) == (cell_m, cell_m, (256, 256))
    half_m = 128 * cell_m
    # The sensor stays in the window; from its edges the window reaches to those of the grid.
    x_m, y_m, _ = train["RandomBevAffine"].translation
    np.testing.assert_allclose([window.x_min_m, window.y_min_m, x_m, y_m], [-half_m, -half_m, half_m, half_m])
    np.testing.assert_allclose([window.x_min_m - x_m, window.y_min_m - y_m], [grid.x_min_m, grid.y_min_m])


@pytest.mark.parametrize(("row", "col"), [(128, 128), (0, 256), (40, 200)])
def test_cells_of_a_window_are_labelled_as_those_of_the_grid(row, col):
    grid = BevGrid()
    window = BevGrid(grid.x_min_m + 0.2 * col, grid.y_min_m + 0.2 * row, 0.2, 256, 256)
    sweep = sample_scene(TRAIN, 0, rng := np.random.default_rng(0)).sweep(rng)
    classes = (sweep.labels_N & ((1 << INSTANCE_SHIFT) - 1)).astype(np.uint8)
    values = np.full(10, 255, np.uint8)
    values[list(GROUND)] = range(len(GROUND))
    of_grid, of_window = (
        LabelledSweep(each, sweep.points_N4[:, :3], classes, np.zeros(3), ego_radius_m=2.5) for each in (grid, window)
    )
    for label in (label_obstacles, label_drivable, lambda one: label_ground_classes(one, values)):
        expected, found = label(of_grid)[row : row + 256, col : col + 256], label(of_window)
        assert len(np.unique(expected)) > 2
        differs = found != expected
        # Near the border a ray that ends far outside is not followed, and gaps and the ground are seen in part: less is known.
        assert (np.maximum(found, expected)[differs] == 255).all()
        assert differs[16:-16, 16:-16].mean() < 1e-3
        assert differs.mean() < 5e-3
