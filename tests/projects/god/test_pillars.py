"""The pillar encoder: exact under any order and number of threads, and right by hand on three points."""

import pytest
import torch
import torch.nn.functional as F

from admlops.errors import ModelError
from god.geometry import BevGrid
from god.pillars import EMPTY_M, MinMaxPillarEncoder, cell_heights, coarse_ground, point_features

GRID = BevGrid(x_min_m=-6.4, y_min_m=-3.2, cell_m=0.2, rows=32, cols=64)


def sweep(num_points, seed=0, grid=GRID):
    """Points of which one in five lies outside the grid, many in the same cells."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.tensor([grid.x_min_m, grid.y_min_m, -1.0, 0.0])
    size = torch.tensor([grid.cols * grid.cell_m * 1.25, grid.rows * grid.cell_m, 2.0, 1.0])
    points = low + size * torch.rand(num_points, 4, generator=generator)
    return points, torch.from_numpy(grid.cell_of(points.numpy()))


def encoder_of(fold=2, grid=GRID, **keys):
    torch.manual_seed(1)
    return MinMaxPillarEncoder(grid, fold=fold, **keys)


@pytest.fixture
def threads():
    """Set the number of threads; the test's own is restored."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("fold", [1, 2])
def test_neither_the_order_of_the_points_nor_the_threads_change_a_bit(fold, threads):
    encoder, (points, cell) = encoder_of(fold), sweep(20_011)
    canvas = encoder(points, cell)
    for number in (1, 2, 3):
        threads(number)
        for seed in range(3):
            order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))
            assert torch.equal(encoder(points[order], cell[order]), canvas)


# A matrix product rounds the last rows of 1, 2, 3 and of some other numbers of points differently.
@pytest.mark.parametrize("num_points", [1, 2, 3, 5, 11, 17, 43, 1000])
def test_points_in_the_dump_cell_change_nothing(num_points):
    encoder, (points, cell) = encoder_of(), sweep(num_points)
    far = torch.tensor([[3e4, 0.0, 1e4, 9.0], [-3e30, 1e30, -3e38, -1.0]]).repeat(500, 1)
    alone = encoder(points, cell)
    crowded = encoder(torch.cat([far, points]), torch.cat([torch.full((1000,), GRID.num_cells), cell]))
    kept = cell < GRID.num_cells
    assert torch.equal(crowded, alone)
    assert torch.equal(encoder(points[kept], cell[kept]), alone)


def test_no_point_gives_zeros_and_one_point_one_place():
    encoder = encoder_of(fold=1)
    torch.nn.init.ones_(encoder.linear.bias)
    none = encoder(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    assert none.shape == (1, 16, 32, 64)
    assert not none.any()
    one = encoder(torch.tensor([[0.05, 0.07, -0.5, 0.25]]), torch.tensor([16 * 64 + 32]))
    # The centre is (0.1, 0.1), from where offsets count in half cells, as intensity in halves; the point is its own ground,
    # lowest and highest.
    features = torch.tensor([-0.5, -0.3, -0.5, 0.0, 0.0, 0.0, 0.5])
    assert torch.allclose(one[0, :, 16, 32], torch.relu(encoder.linear(features)), atol=1e-6)
    one[0, :, 16, 32] = 0
    assert not one.any()


def test_features_by_hand():
    # Two points in one cell, one five coarse cells away.
    points = torch.tensor([[0.05, 0.1, -1.0, 0.1], [0.15, 0.1, 0.5, 0.2], [4.1, 0.1, -3.0, 0.3]])
    cell = torch.from_numpy(GRID.cell_of(points.numpy()))
    assert cell.tolist() == [16 * 64 + 32, 16 * 64 + 32, 16 * 64 + 52]
    lowest, highest = cell_heights(points[:, 2], cell, GRID.num_cells)
    assert (lowest[cell[0]], highest[cell[0]], lowest[0], highest[0]) == (-1.0, 0.5, EMPTY_M, -EMPTY_M)
    ground = coarse_ground(lowest, GRID.shape, block=4)
    centres = tuple(torch.from_numpy(values).float() for values in GRID.centres_m())
    features = point_features(points, cell, lowest, highest, ground, centres)
    expected = [
        [-0.05, 0.0, -1.0, 0.0, 0.0, 1.5, 0.1],
        [0.05, 0.0, 0.5, 1.5, 1.5, 1.5, 0.2],
        [0.0, 0.0, -3.0, 0.0, 0.0, 0.0, 0.3],
    ]
    assert torch.allclose(features.T, torch.tensor(expected), atol=1e-6)


def test_coarse_ground_reaches_one_coarse_cell_around():
    lowest = torch.full((GRID.num_cells + 1,), EMPTY_M)
    lowest[8 * 64 + 20] = -2.0
    lowest[GRID.num_cells] = -9.0
    ground = coarse_ground(lowest, GRID.shape, block=4).view(GRID.shape)
    # The cell lies in coarse cell (2, 5): rows 8 to 11, columns 20 to 23.
    assert (ground[4:16, 16:28] == -2.0).all()
    assert (ground == -2.0).sum() == 12 * 12
    assert (ground[ground != -2.0] == EMPTY_M).all()


def test_samples_of_a_batch_do_not_see_each_other():
    encoder, (first, second) = encoder_of(), (sweep(3000, 0), sweep(500, 7))
    kept = [(points[cell < GRID.num_cells], cell[cell < GRID.num_cells]) for points, cell in (first, second)]
    points = torch.cat([points for points, _ in kept])
    cell = torch.cat([cell + index * GRID.num_cells for index, (_, cell) in enumerate(kept)])
    both = encoder(points, cell, batch_size=2)
    assert torch.equal(both[:1], encoder(*first))
    assert torch.equal(both[1:], encoder(*second))


def test_folds_hold_the_same_canvas():
    points, cell = sweep(5000)
    full, folded = encoder_of(1)(points, cell), encoder_of(2)(points, cell)
    assert folded.shape == (1, 64, 16, 32)
    assert torch.equal(F.pixel_shuffle(folded, 2), full)


def test_autocast_leaves_coordinates_alone():
    encoder, (points, cell) = encoder_of(), sweep(500)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        canvas = encoder(points, cell)
    assert torch.equal(canvas, encoder(points, cell))


def test_the_linear_layer_learns_what_autograd_says_of_a_matrix_product():
    encoder, (points, cell) = encoder_of(fold=1), sweep(300)
    encoder(points, cell).square().sum().backward()
    own = encoder.linear.weight.grad.clone()
    encoder.linear.weight.grad = None
    lowest, highest = cell_heights(points[:, 2], cell, GRID.num_cells)
    ground = coarse_ground(lowest, GRID.shape, encoder.block)
    features = point_features(points, cell, lowest, highest, ground, (encoder.x_centres_m, encoder.y_centres_m))
    values = torch.relu(encoder.linear(features.T / (encoder.scales_F * encoder.units_F)))
    best = torch.stack([values[cell == place].amax(dim=0) for place in cell.unique() if place < GRID.num_cells])
    best.square().sum().backward()
    assert torch.allclose(own, encoder.linear.weight.grad, rtol=1e-4, atol=1e-4)


def test_a_grid_that_cannot_be_folded_is_refused():
    with pytest.raises(ModelError) as caught:
        MinMaxPillarEncoder({"rows": 510, "cols": 512})
    assert str(caught.value).splitlines() == [
        "the sides of a grid must be multiples of the fold and of a coarse cell of the ground",
        "  where:    model.encoder.grid",
        "  expected: rows and columns that 2 (fold) and 4 (cells of 0.2 m a coarse cell) divide: multiples of 4",
        "  got:      510 x 512 cells",
        "  try:      give the config's grid other rows and cols: 508 or 512 instead of 510",
    ]
    with pytest.raises(ModelError, match=r"(?s)number of cells.*model\.encoder\.fold.*got: +0"):
        MinMaxPillarEncoder({}, fold=0)


def test_a_window_that_cannot_be_folded_is_refused_by_the_name_it_has_in_configs():
    # Coarse cells of 0.8 m are 3 cells of 0.25 m; 6 divides 120, and not 64.
    grid = BevGrid(x_min_m=-15.0, y_min_m=-15.0, cell_m=0.25, rows=120, cols=120)
    window = BevGrid(x_min_m=-8.0, y_min_m=-8.0, cell_m=0.25, rows=64, cols=64)
    points = torch.zeros(1, 4)
    with pytest.raises(ModelError) as caught:
        encoder_of(grid=grid)(points, torch.from_numpy(window.cell_of(points.numpy())), grid=window)
    error = caught.value
    assert "PackBevInputs" in error.where
    assert error.expected == "rows and columns that 2 (fold) and 3 (cells of 0.25 m a coarse cell) divide: multiples of 6"
    assert error.got == "64 x 64 cells"
    assert "train_loader another window_side" in error.remedy
    assert error.remedy.endswith(": 60 or 66 instead of 64")


def test_sides_below_the_smallest_whole_one_become_it():
    with pytest.raises(ModelError, match=": 4 instead of 2$"):
        MinMaxPillarEncoder({"rows": 2, "cols": 512})


def test_a_window_of_the_grid_holds_what_the_grid_holds_there():
    encoder, window = encoder_of(), BevGrid(x_min_m=-3.2, y_min_m=-3.2, cell_m=0.2, rows=32, cols=32)
    points = sweep(5000)[0]
    whole = encoder(points, torch.from_numpy(GRID.cell_of(points.numpy())))
    part = encoder(points, torch.from_numpy(window.cell_of(points.numpy())), grid=window)
    # 16 columns of cells left out on each side; the ground of the outermost 4 hangs on what lies beyond.
    assert torch.allclose(part[..., 2:-2], whole[..., 8 + 2 : -8 - 2], atol=1e-5)
    assert part[..., 2:-2].any()
