"""The label rules, on sweeps whose cells anyone can work out by hand."""

import cv2
import numpy as np
import pytest
from hand_made_sweeps import GROUND_Z_M, ORIGIN, SMALL, at, floor, make_sweep, put

from admlops.point_class import PointClass as P
from god.bev_objects import list_objects, weigh_obstacles
from god.geometry import BevGrid
from god.local_ground import LocalGround, estimate_ground
from god.point_cloud import PointCloud
from god.rasterize import (
    LabelledSweep,
    classes_of_boxes,
    find_low_rays,
    label_drivable,
    label_ground_classes,
    label_obstacles,
    label_polygons,
)

VALUES = np.full(10, 255, dtype=np.uint8)
VALUES[[P.ROAD, P.PARKING, P.SIDEWALK, P.OTHER_GROUND, P.TERRAIN, P.DRIVEABLE]] = [0, 1, 2, 3, 4, 5]


def obstacles(rows, grid=SMALL, **options):
    return label_obstacles(make_sweep(rows, grid, **options))


@pytest.mark.parametrize("obstacle", [P.MOVABLE, P.STATIC, P.VEGETATION])
def test_a_20_cm_box_at_10_m_is_an_obstacle_and_its_surroundings_are_free(obstacle):
    grid = BevGrid()
    rows = floor(13.0, grid=grid)
    rows += [put(10.1, y, h, obstacle)[0] for y in (0.05, 0.15) for h in (0.05, 0.12, 0.19)]
    mask = obstacles(rows, grid)
    assert at(mask, 10.1, 0.1, grid) == 1
    assert int((mask == 1).sum()) == 1
    assert at(mask, 10.3, 0.1, grid) == 0


def test_what_hangs_above_two_and_a_half_metres_is_no_obstacle():
    gantry = [put(x, 2.1, 2.6, P.STATIC)[0] for x in np.arange(-3.9, 4, 0.2)]
    mask = obstacles(floor() + gantry)
    assert set(np.unique(mask)) == {0}
    low = obstacles(floor() + put(1.1, 2.1, 2.4, P.STATIC))
    assert at(low, 1.1, 2.1) == 1
    # Without a ground point below, nothing is known: 3 m behind the last ground.
    assert at(obstacles(floor(1.0) + gantry), 3.9, 2.1) == 255


def test_speed_bump_and_kerb_are_no_obstacles():
    bump = [put(2.1, y, 0.1, P.ROAD)[0] for y in np.arange(-3.9, 4, 0.2)]
    assert set(np.unique(obstacles(floor() + bump))) == {0}
    kerb = [put(x, y, 0.12, P.SIDEWALK)[0] for x, y, *_ in floor() if y > 1]
    road = [row for row in floor() if row[1] < 1]
    assert set(np.unique(obstacles(road + kerb))) == {0}


@pytest.mark.parametrize(
    ("height_m", "point_class", "expected"),
    [
        (0.10, P.STATIC, 255),  # the foot of something
        (0.10, P.VEGETATION, 255),
        (0.16, P.STATIC, 1),
        (0.10, P.UNKNOWN, 0),
        (0.50, P.UNKNOWN, 255),
        (2.60, P.UNKNOWN, 0),
    ],
)
def test_a_single_point_above_the_ground(height_m, point_class, expected):
    mask = obstacles(floor() + put(1.1, 1.1, height_m, point_class))
    assert at(mask, 1.1, 1.1) == expected
    assert int((mask == 0).sum()) == 40 * 40 - (expected != 0)


def test_an_obstacle_where_no_ground_is_known_is_unknown():
    assert set(np.unique(obstacles(put(1.1, 1.1, 1.0, P.STATIC)))) == {255}
    assert set(np.unique(obstacles([]))) == {255}


def test_the_ego_disc_is_unknown():
    mask = obstacles(floor() + put(0.5, 0.1, 1.0, P.STATIC), ego_radius_m=1.0)
    x_m, y_m = SMALL.centres_m()
    assert np.array_equal(mask == 255, np.hypot(x_m[None], y_m[:, None]) < 1.0)


def test_a_low_ray_frees_the_last_stretch():
    # 1.7 m below the sensor at 10.1 m: below 0.15 m over 10.1 * 0.15 / 1.7 = 0.891 m, x from 9.209 m.
    grid = BevGrid(x_min_m=8.0, y_min_m=-1.0, cell_m=0.2, rows=10, cols=20)
    mask = obstacles(put(10.1, 0.1, 0.0, P.ROAD), grid)
    free = np.full((10, 20), 255)
    free[5, 6:11] = 0  # 9.2 to 10.2 m
    assert np.array_equal(mask, free)


def test_low_rays_fill_empty_cells_that_touch_no_obstacle():
    grid = BevGrid(x_min_m=8.0, y_min_m=-1.0, cell_m=0.2, rows=10, cols=20)
    ray = put(10.1, 0.1, 0.0, P.ROAD)
    beside = obstacles(ray + put(9.3, 0.3, 1.0, P.STATIC), grid)
    assert [at(beside, x, 0.1, grid) for x in (9.3, 9.5, 9.7, 9.9, 10.1)] == [255, 255, 0, 0, 0]
    # A roof above: the beam may have passed below a lorry.
    roofed = obstacles(ray + put(9.7, 0.1, 3.0, P.MOVABLE), grid)
    assert [at(roofed, x, 0.1, grid) for x in (9.3, 9.5, 9.7, 9.9, 10.1)] == [0, 0, 255, 0, 0]


def test_gaps_in_a_bush_are_no_free_ground():
    grid = BevGrid(x_min_m=8.0, y_min_m=-2.0, cell_m=0.2, rows=20, cols=20)
    ray = put(10.1, 0.1, 0.0, P.ROAD)
    # Four twigs, above the band, about the cell at 9.7 m: no disc of 0.6 m that holds it passes between them.
    gaps = [row for x in (9.5, 9.9) for y in (-0.1, 0.3) for row in put(x, y, 4.0, P.VEGETATION)]
    assert [at(obstacles(ray + gaps, grid), x, 0.1, grid) for x in (9.3, 9.5, 9.7, 9.9, 10.1)] == [0, 0, 255, 0, 0]
    # 2 m apart: a car passes.
    wide = [row for x in (9.5, 9.9) for y in (-0.9, 1.1) for row in put(x, y, 4.0, P.VEGETATION)]
    assert [at(obstacles(ray + wide, grid), x, 0.1, grid) for x in (9.3, 9.5, 9.7, 9.9, 10.1)] == [0] * 5


def test_a_ray_that_ends_outside_frees_cells_inside_and_one_from_above_is_not_followed():
    grid = BevGrid(x_min_m=5.0, y_min_m=-1.0, cell_m=0.2, rows=10, cols=25)
    ends = np.array([[10.15, 0.1, GROUND_Z_M]])
    assert np.flatnonzero(find_low_rays(grid, ORIGIN, ends)[5]).tolist() == [21, 22, 23, 24]  # 9.2 to 10 m
    assert not find_low_rays(grid, np.array([0, 0, -1.3]), ends).any()


def test_the_local_ground_follows_a_slope():
    rows = [[x, y, GROUND_Z_M + 0.1 * x, P.ROAD] for x, y, *_ in floor()]
    rows += [[2.1, 1.1, GROUND_Z_M + 0.21 + 0.3, P.STATIC], [-2.1, 1.1, GROUND_Z_M - 0.21 + 0.05, P.STATIC]]
    mask = obstacles(rows)
    assert (at(mask, 2.1, 1.1), at(mask, -2.1, 1.1)) == (1, 255)
    ground = LocalGround.from_points(SMALL, np.array(rows[:1600])[:, :3])
    assert ground.height_m.shape == (8, 8)
    np.testing.assert_allclose(ground.height_m[4, [2, 5]], [GROUND_Z_M - 0.15, GROUND_Z_M + 0.15], atol=1e-9)


def test_far_from_any_ground_the_coarser_cells_tell():
    ground = LocalGround.from_points(BevGrid(), np.array([[0.5, 0.5, -1.7], [0.6, 0.5, -1.9]]))
    above_m = ground.height_above(np.array([[45.0, -45.0, 0.0], [0.5, 0.5, 0.0], [99.0, 0, 0]]))
    np.testing.assert_allclose(above_m, [1.8, 1.8, np.nan])


@pytest.mark.parametrize(
    ("rows", "two_classes", "ground_class"),
    [
        ([(0.0, P.ROAD)], 1, 0),
        ([(0.0, P.PARKING)], 1, 1),
        ([(0.0, P.DRIVEABLE)], 1, 5),
        ([(0.0, P.SIDEWALK)], 0, 2),
        ([(0.0, P.OTHER_GROUND)], 0, 3),
        ([(0.0, P.TERRAIN)], 0, 4),
        ([(0.0, P.ROAD), (0.0, P.ROAD), (0.0, P.TERRAIN)], 1, 0),
        ([(0.0, P.ROAD), (0.0, P.TERRAIN)], 255, 255),
        ([(0.0, P.ROAD), (0.0, P.PARKING)], 1, 255),
        ([(0.0, P.ROAD), (1.0, P.STATIC)], 0, 255),
        ([(0.0, P.ROAD), (0.0, P.ROAD), (1.0, P.STATIC)], 0, 0),
        ([(0.0, P.ROAD), (1.0, P.VEGETATION)], 0, 255),
        ([(0.0, P.ROAD), (1.0, P.MOVABLE)], 255, 255),
        ([(0.0, P.ROAD), (1.0, P.MOVABLE), (1.0, P.STATIC)], 255, 255),
        ([(0.0, P.ROAD), (3.0, P.STATIC)], 1, 0),
        ([(0.0, P.ROAD), (0.1, P.STATIC)], 255, 0),
        ([(0.0, P.ROAD), (1.0, P.UNKNOWN)], 255, 0),
        ([(1.0, P.STATIC)], 0, 255),
        ([(0.0, P.UNKNOWN)], 255, 255),
    ],
)
def test_drivable_cells(rows, two_classes, ground_class):
    around = [row for row in floor() if not (abs(row[0] - 1.1) < 0.05 and abs(row[1] - 1.1) < 0.05)]
    sweep = make_sweep(around + [put(1.1, 1.1, height_m, point_class)[0] for height_m, point_class in rows])
    assert at(label_drivable(sweep), 1.1, 1.1) == two_classes
    assert at(label_ground_classes(sweep, VALUES), 1.1, 1.1) == ground_class
    assert at(label_drivable(sweep), 3.1, 1.1) == 1


def test_unobserved_and_ego_cells_have_no_ground_class():
    sweep = make_sweep(floor(2.0), ego_radius_m=1.0)
    x_m, y_m = np.meshgrid(*SMALL.centres_m())
    known = (np.maximum(abs(x_m), abs(y_m)) < 2) & (np.hypot(x_m, y_m) >= 1)
    assert np.array_equal(label_drivable(sweep), np.where(known, 1, 255))
    assert np.array_equal(label_ground_classes(sweep, VALUES), np.where(known, 0, 255))


def test_boxes_make_obstacles_ground_makes_free_cells_and_the_rest_is_unknown():
    in_box = put(1.1, 1.1, 0.8, P.UNKNOWN) + put(1.3, 1.1, 0.1, P.UNKNOWN)
    ignored = put(1.1, -1.1, 0.8, P.UNKNOWN)
    wall = put(-2.1, 1.1, 0.8, P.UNKNOWN)
    rows = floor(3.0) + in_box + ignored + wall
    xyz = np.array(rows)[:, :3]
    number = np.arange(len(rows)) - len(rows)
    classes = classes_of_boxes(SMALL, xyz, np.isin(number, [-4, -3]), number == -2)
    mask = label_obstacles(LabelledSweep(SMALL, xyz, classes, ORIGIN), with_low_rays=False)
    expected = np.full((40, 40), 255)
    expected[5:35, 5:35] = 0
    for (x, y), value in {(1.1, 1.1): 1, (1.3, 1.1): 255, (1.1, -1.1): 255, (-2.1, 1.1): 255}.items():
        expected[int((y + 4) / 0.2), int((x + 4) / 0.2)] = value
    assert np.array_equal(mask, expected)


def test_the_estimated_ground_leaves_out_objects_walls_reflections_and_foliage():
    rows = floor(6.0, grid=BevGrid())
    bus = [[x, y, GROUND_Z_M + 0.5, 0] for x in np.arange(2.05, 5, 0.2) for y in np.arange(-5.95, 6, 0.2)]
    reflection = [[-2.5, -2.5, GROUND_Z_M - 1.0, 0]]
    foliage = [[0.5 + x, 20.5, GROUND_Z_M + height_m, 0] for x, height_m in enumerate((0.3, 1.2, 2.1, 0.7, 1.7, 2.6))]
    hidden = [row for row in rows if not 2 < row[0] < 5]
    xyz = np.array(hidden + bus + reflection + foliage)[:, :3]
    is_ground = estimate_ground(BevGrid(), xyz)
    assert is_ground[: len(hidden)].all()
    assert not is_ground[len(hidden) : len(hidden) + len(bus)].any()
    assert not is_ground[-len(foliage) - 1 :].any()


def test_polygons_count_where_something_was_seen_and_nothing_stands():
    square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    rows = floor(1.0) + put(0.5, 0.5, 1.0, P.UNKNOWN)
    xyz = np.array(rows)[:, :3]
    sweep = LabelledSweep(SMALL, xyz, classes_of_boxes(SMALL, xyz, *np.zeros((2, len(rows)), dtype=bool)), ORIGIN)
    mask = label_polygons(sweep, [square], [1], background=0)
    assert (at(mask, 0.7, 0.7), at(mask, -0.7, 0.7), at(mask, 0.5, 0.5), at(mask, 1.7, 1.7)) == (1, 0, 255, 255)
    above = label_polygons(sweep, [square, square / 2], [0, 5], background=255)
    assert (at(above, 0.7, 0.3), at(above, -0.7, 0.7)) == (5, 255)


def test_a_map_goes_along_low_rays():
    grid = BevGrid(x_min_m=8.0, y_min_m=-1.0, cell_m=0.2, rows=10, cols=20)
    everywhere = np.array([[0, -9.0], [99, -9], [99, 9], [0, 9]])
    mask = label_polygons(make_sweep(put(10.1, 0.1, 0.0, P.TERRAIN), grid), [everywhere], [1], background=0)
    assert np.flatnonzero(mask[5] == 1).tolist() == [6, 7, 8, 9, 10]
    assert int((mask == 255).sum()) == 195


def test_small_obstacles_weigh_more():
    mask = np.full((20, 20), 255, dtype=np.uint8)
    mask[0, 0] = 1  # alone: 20, at most 10
    mask[5, 5:9] = 1
    mask[6, 9] = 1  # touches by a corner: 20 / 5 = 4
    mask[10:15, 10:15] = 1  # 25 cells
    mask[0, 1] = 0
    weight = weigh_obstacles(mask, cell_m=0.2)
    assert weight.dtype == np.float32
    assert (weight[0, 0], weight[5, 5], weight[6, 9], weight[12, 12], weight[0, 1], weight[19, 0]) == (10, 4, 4, 1, 1, 1)


@pytest.mark.parametrize("num_cells", range(1, 23))
def test_cells_of_20_cm_weigh_20_over_their_number(num_cells):
    mask = np.zeros((3, 24), dtype=np.uint8)
    mask[1, 1 : 1 + num_cells] = 1
    assert weigh_obstacles(mask, cell_m=0.2)[1, 1] == np.float32(np.clip(20 / num_cells, 1, 10))


def test_a_thing_weighs_the_same_in_cells_of_5_cm():
    mask = np.full((18, 26), 255, dtype=np.uint8)  # its last cells make up no whole one of 20 cm
    mask[0:8, 0:8] = 1  # 40 cm x 40 cm, all of it: as four cells of 20 cm, 0.8 / 0.16
    mask[12:16, 4] = mask[15, 4:12] = 1  # two sides, 20 and 40 cm: as two cells
    mask[2, [16, 20, 25]] = 1  # a line with gaps: as three cells
    mask[17, 25] = 0
    weight = weigh_obstacles(mask, cell_m=0.05)
    assert (weight[0, 0], weight[7, 7], weight[12, 4], weight[15, 11]) == (5, 5, 10, 10)
    assert (weight[2, [16, 20, 25]] == np.float32(20 / 3)).all()
    assert (weight[mask != 1] == 1).all()
    coarse = np.random.default_rng(0).integers(0, 2, (40, 50), dtype=np.uint8)
    fine = np.ones((4, 4), dtype=np.uint8)
    expected = np.kron(weigh_obstacles(coarse, cell_m=0.2), fine)
    assert np.array_equal(weigh_obstacles(np.kron(coarse, fine), cell_m=0.05), expected)


def test_the_table_of_objects():
    rows = floor()
    rows += put(1.1, 1.1, 0.3, P.MOVABLE, 2) + put(1.3, 1.1, 0.4, P.MOVABLE)  # instance 70001
    rows += put(1.3, 1.1, 0.9, P.MOVABLE, 2)  # instance 5, most points of its cell
    rows += put(-2.1, -2.1, 1.5, P.STATIC) + put(-1.9, -1.9, 0.5, P.STATIC)  # touch by a corner
    rows += put(3.1, 3.1, 3.0, P.MOVABLE)  # instance 9 hangs above: no cell of it
    instance = np.array([0] * 1600 + [70001] * 3 + [5] * 2 + [0] * 2 + [9])
    sweep = make_sweep(rows)
    mask = label_obstacles(sweep)
    table = list_objects(sweep, mask, instance, has_instances=False)
    assert table.ids.tolist() == [1, 2, 3]
    assert (at(table.object_id, 1.3, 1.1), at(table.object_id, 1.1, 1.1), at(table.object_id, -1.9, -1.9)) == (1, 2, 3)
    assert np.array_equal(table.object_id > 0, mask == 1)
    np.testing.assert_allclose(table.size_m, [0.9, 0.3, 1.5], atol=1e-5)
    np.testing.assert_allclose(table.distance_m, [np.hypot(1.3, 1.1), np.hypot(1.1, 1.1), np.hypot(1.9, 1.9)], atol=1e-5)
    sizes = np.zeros(70002)
    sizes[[5, 70001]] = 4.5, 0.2
    # Where things have numbers, what has none is a piece of something larger.
    np.testing.assert_allclose(list_objects(sweep, mask, instance, sizes).size_m, [4.5, 0.2, np.nan], atol=1e-5)
    empty = list_objects(make_sweep([]), obstacles([]), np.zeros(0, dtype=np.int64))
    assert (len(empty.ids), int(empty.object_id.max())) == (0, 0)


def _random_rows(rng):
    ground = rng.uniform(-4, 4, (3000, 2))
    things = rng.uniform(-4, 4, (150, 2))
    rows = [[x, y, GROUND_Z_M + rng.uniform(0, 0.3), rng.choice([1, 2, 3, 4, 5, 9])] for x, y in ground if not -1 < x < 1]
    return np.array(rows + [[x, y, GROUND_Z_M + rng.uniform(0, 3), rng.choice([0, 6, 7, 8])] for x, y in things])


MIRROR = np.diag([1.0, -1.0, 1.0, 1.0])
QUARTER = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("matrix", "move"), [(MIRROR, lambda mask: mask[::-1]), (QUARTER, lambda mask: np.rot90(mask, -1))], ids=["flip", "turn"]
)
def test_labels_move_with_the_points(matrix, move):
    grid = BevGrid(x_min_m=-4.1, y_min_m=-4.1, cell_m=0.2, rows=41, cols=41)  # no edge at a whole metre
    rows = _random_rows(np.random.default_rng(0))
    points_N4 = np.column_stack([rows[:, :3], np.zeros(len(rows))]).astype(np.float32)
    corners = np.array([[-3.33, -2.21], [3.17, -1.4], [2.3, 3.05]])
    cloud = PointCloud(points_N4, np.array([0.31, -0.42, 0.0]), polygons={"map": (corners,)}, ego_radius_m=0.7)
    classes = rows[:, 3].astype(np.uint8)

    def label(cloud):
        sweep = LabelledSweep(grid, cloud.points_N4[:, :3], classes, cloud.origin_3, cloud.ego_radius_m)
        in_box = classes == P.MOVABLE
        boxed = classes_of_boxes(grid, sweep.xyz, in_box, np.zeros_like(in_box))
        estimated = LabelledSweep(grid, sweep.xyz, boxed, cloud.origin_3, cloud.ego_radius_m)
        return {
            "obstacles": label_obstacles(sweep),
            "drivable": label_drivable(sweep),
            "ground": label_ground_classes(sweep, VALUES),
            "boxes": label_obstacles(estimated, with_low_rays=False),
            "map": label_polygons(estimated, cloud.polygons["map"], [1], 0),
        }

    before, after = label(cloud), label(cloud.transform(matrix))
    for name, mask in before.items():
        assert len(np.unique(mask)) > 2, name
        assert np.array_equal(after[name], move(mask)), name
    assert int((before["obstacles"] == 0).sum()) > int((before["boxes"] == 0).sum())  # low rays


def test_components_touch_by_corners():
    # The rule of the metrics too; OpenCV counts the background as component 0.
    assert cv2.connectedComponents(np.eye(3, dtype=np.uint8), connectivity=8)[0] == 2
