"""Rays by hand: where they end on flat ground, what stands in front, what hangs above."""

import math

import numpy as np
import pytest

from admlops.point_class import PointClass
from admlops.synthetic.lidar.cast import cast_sweep, ground_ranges
from admlops.synthetic.lidar.ground import Ground, Patch, Profile, Strip
from admlops.synthetic.lidar.objects import KINDS, place
from admlops.synthetic.lidar.point_labels import INSTANCE_SHIFT, pack_labels
from admlops.synthetic.lidar.sensor import Sensor
from admlops.synthetic.lidar.solids import SceneObject, Solid

HEIGHT_M = 1.73
ROAD = Strip(PointClass.ROAD, 4.0, roughness_m=0.0, waviness_m=0.0)
WALK = Strip(PointClass.SIDEWALK, 99.0, step_m=0.12, roughness_m=0.0, waviness_m=0.0)
STREET = Ground(HEIGHT_M, Profile([ROAD, WALK], [ROAD, WALK]))
PLAIN = Ground(HEIGHT_M, Profile([ROAD], [ROAD]))


def solid_object(solid: Solid, point_class: PointClass = PointClass.STATIC, instance: int = 7) -> SceneObject:
    return SceneObject("thing", point_class, instance, (solid,), solid.centre_m, solid.size_m, solid.yaw_rad)


def box(x_m: float, y_m: float, bottom_m: float, size_m: tuple[float, float, float]) -> SceneObject:
    return solid_object(Solid((x_m, y_m, bottom_m - HEIGHT_M + size_m[2] / 2), size_m))


def cast(ground: Ground, objects: tuple[SceneObject, ...], elevation_deg: list[float], num_azimuths: int = 360):
    """What returns, and the azimuths of it in whole degrees; nothing is lost by chance."""
    sensor = Sensor.ideal(HEIGHT_M, elevation_deg, num_azimuths)
    sweep = cast_sweep(ground, objects, sensor, _NoLoss())
    return sweep, degrees_of(sweep.points_N4)


def degrees_of(points_N4: np.ndarray) -> np.ndarray:
    """Azimuth, -180 to 179."""
    degrees = np.round(np.degrees(np.arctan2(points_N4[:, 1], points_N4[:, 0]))).astype(int)
    return (degrees + 180) % 360 - 180


class _NoLoss:
    """Chance that loses nothing and adds nothing."""

    def random(self, count, dtype):
        return np.ones(count, dtype)

    def standard_normal(self, count, dtype):
        return np.zeros(count, dtype)

    def standard_exponential(self, shape, dtype):
        return np.ones(shape, dtype)

    def uniform(self, low, high, count):
        return np.full(count, high)


@pytest.mark.parametrize("elevation_deg", [-25.0, -10.0, -3.0, -1.5])
def test_on_flat_ground_a_ray_ends_at_height_over_tangent(elevation_deg: float) -> None:
    ranges = ground_ranges(PLAIN, Sensor.ideal(HEIGHT_M, [elevation_deg]))
    assert ranges == pytest.approx(HEIGHT_M / math.tan(math.radians(-elevation_deg)), rel=1e-4)


def test_rays_above_the_horizon_meet_no_ground() -> None:
    assert np.isinf(ground_ranges(PLAIN, Sensor.ideal(HEIGHT_M, [0.0, 2.0]))).all()


def test_a_ray_along_a_tilt_ends_where_the_two_lines_meet() -> None:
    # Ground z = 0.02 x - 1.73, ray z = -0.1 r: along x they meet at 1.73 / 0.12, against x at 1.73 / 0.08.
    tilted = Ground(HEIGHT_M, PLAIN.profile, tilt=(0.02, 0.0))
    ranges = ground_ranges(tilted, Sensor.ideal(HEIGHT_M, [math.degrees(math.atan(-0.1))], 2))
    assert ranges.ravel() == pytest.approx([1.73 / 0.12, 1.73 / 0.08], rel=1e-4)


def test_a_box_stops_rays_and_shadows_what_is_behind() -> None:
    # 2 m wide at 9 to 11 m: half its front seen under atan(1 / 9) = 6.3 degrees.
    sweep, azimuth = cast(PLAIN, (box(10, 0, 0, (2, 2, 1.5)),), [-10.0, -5.0])
    in_front = sweep.points_N4[np.abs(azimuth) <= 6]
    # -10 degrees: meets the box at 9 m, 1.587 m below the sensor; -5 degrees would have met ground at 19.8 m.
    assert len(in_front) == 13 * 2
    assert in_front[:, 0] == pytest.approx(9.0, abs=1e-4)
    assert np.sort(in_front[np.abs(in_front[:, 1]) < 1e-4][:, 2]) == pytest.approx([-1.587, -0.787], abs=1e-3)
    aside = sweep.points_N4[np.abs(azimuth) == 7]
    assert np.hypot(aside[:, 0], aside[:, 1]) == pytest.approx([9.811, 19.774] * 2, abs=1e-3)
    assert set(sweep.labels_N[np.abs(azimuth) <= 6]) == {PointClass.STATIC | 7 << INSTANCE_SHIFT}
    assert set(sweep.labels_N[np.abs(azimuth) > 6]) == {PointClass.ROAD}


def test_the_nearest_of_two_things_is_met_in_whatever_order_they_are_given() -> None:
    near, far = box(10, 0, 0, (2, 2, 1.5)), box(20, 0, 0, (2, 8, 3.0))
    for objects in ((near, far), (far, near)):
        sweep, azimuth = cast(PLAIN, objects, [-2.0, 1.0])
        # 2 degrees down meets the near one, 1 degree up passes above it.
        assert sweep.points_N4[azimuth == 0, 0] == pytest.approx([9.0, 19.0], abs=1e-4)


def test_high_ground_hides_the_ground_behind_it() -> None:
    # A dam of 1 m from 10 to 11 m. A ray over its far edge falls 0.73 m on 11 m, and 1.73 m on 26.07 m.
    ground = Ground(HEIGHT_M, PLAIN.profile, patches=(Patch((10, 11), (-50, 50), 1.0, WALK),))
    sweep, azimuth = cast(ground, (), list(np.arange(-24.0, -1.5, 0.1)))
    ahead = sweep.points_N4[azimuth == 0]
    hidden = (ahead[:, 0] > 11.2) & (ahead[:, 0] < 25.9)
    assert not hidden.any()
    assert ((ahead[:, 0] > 9.8) & (ahead[:, 0] < 11.2)).sum() > 20
    assert (ahead[:, 0] > 26.0).any()
    # Nothing hides it on the other side.
    behind = -sweep.points_N4[azimuth == -180, 0]
    assert np.diff(np.sort(behind[behind < 25])).max() < 1.3


def test_a_turned_box_is_met_on_its_corner() -> None:
    # A square of 2 m turned by 45 degrees points its corner at the sensor, sqrt(2) before its middle.
    turned = solid_object(Solid((10, 0, -1), (2, 2, 2), yaw_rad=math.pi / 4))
    sweep, azimuth = cast(PLAIN, (turned,), [-5.0])
    assert sweep.points_N4[azimuth == 0, 0] == pytest.approx(10 - math.sqrt(2), abs=1e-4)


def test_an_object_behind_the_sensor_is_met_across_the_seam_of_azimuths() -> None:
    sweep, azimuth = cast(PLAIN, (box(-10, 0, 0, (2, 2, 1.5)),), [-5.0])
    hit = (sweep.labels_N >> INSTANCE_SHIFT) == 7
    assert set(azimuth[hit]) == {*range(-180, -173), *range(174, 180)}


def test_a_gantry_is_met_by_upper_beams_only() -> None:
    # 4.5 to 5.5 m above ground at 20 m: seen under 7.9 to 10.7 degrees.
    sweep, azimuth = cast(PLAIN, (box(20, 0, 4.5, (0.5, 12, 1.0)),), [-5.0, 2.0, 9.0, 12.0])
    ahead = sweep.points_N4[azimuth == 0]
    labels = sweep.labels_N[azimuth == 0]
    assert ahead[:, 0] == pytest.approx([19.774, 19.75], abs=1e-3)
    assert list(labels & 0xFFFF) == [PointClass.ROAD, PointClass.STATIC]


def test_an_ellipsoid_is_met_on_its_near_pole() -> None:
    ball = solid_object(Solid((10, 0, 0), (2, 2, 1), is_round=True))
    sweep, azimuth = cast(PLAIN, (ball,), [0.0])
    assert sweep.points_N4[azimuth == 0, 0] == pytest.approx(9.0, abs=1e-4)
    assert set(azimuth) == set(range(-5, 6))


def test_porous_things_are_met_inside_and_let_some_rays_pass() -> None:
    hedge = solid_object(Solid((10, 0, -0.9), (4, 20, 2.5), free_path_m=2.0), PointClass.VEGETATION, 0)
    sensor = Sensor.ideal(HEIGHT_M, [-4.0, -3.0, -2.0], 3600)
    sweep = cast_sweep(PLAIN, (hedge,), sensor, np.random.default_rng(0))
    ahead = sweep.points_N4[np.abs(degrees_of(sweep.points_N4)) <= 8]
    inside_m = ahead[ahead[:, 0] <= 12, 0]
    assert 8.0 <= inside_m.min() < 8.1
    assert inside_m.max() > 11.9
    # exp(-4 m / 2 m) = 13.5 % of the rays come through; 6 to 13 % of these are lost to the distance.
    assert len(ahead) - len(inside_m) == pytest.approx(0.125 * len(ahead), rel=0.3)
    assert set(sweep.labels_N) == {PointClass.VEGETATION, PointClass.ROAD}


def test_a_kerb_of_12_cm_stands_between_road_and_sidewalk() -> None:
    sweep, azimuth = cast(STREET, (), list(np.arange(-24.0, -2.0, 0.5)), 720)
    height_m = sweep.points_N4[:, 2] + HEIGHT_M
    across_m = np.abs(sweep.points_N4[:, 1])
    classes = sweep.labels_N & 0xFFFF
    assert np.abs(height_m[across_m < 3.9]).max() < 0.005
    assert height_m[across_m > 4.1] == pytest.approx(0.12, abs=0.005)
    assert set(classes[across_m < 3.9]) == {PointClass.ROAD}
    assert set(classes[across_m > 4.1]) == {PointClass.SIDEWALK}
    # Its face is met as well.
    assert ((height_m > 0.03) & (height_m < 0.09)).any()


def test_a_speed_bump_is_rounded_and_an_island_has_its_own_class() -> None:
    island = Strip(PointClass.OTHER_GROUND, 1.0)
    patches = (Patch((10, 12), (-4, 4), 0.1), Patch((-12, -8), (-1, 1), 0.15, island))
    ground = Ground(HEIGHT_M, PLAIN.profile, patches=patches)
    x_m, y_m = np.array([9.9, 10.5, 11, 12.1, -10, -10], np.float32), np.array([0, 0, 0, 0, 0, 2], np.float32)
    # Half way up the bump: 0.1 (1 - 0.5 ** 2).
    assert ground.height_at(x_m, y_m) + HEIGHT_M == pytest.approx([0, 0.075, 0.1, 0, 0.15, 0], abs=1e-6)
    classes = [ground.strips[i].point_class for i in ground.strip_at(x_m, y_m)]
    assert classes == [PointClass.ROAD] * 4 + [PointClass.OTHER_GROUND, PointClass.ROAD]


def test_a_crossing_road_cuts_through_the_sidewalk() -> None:
    ground = Ground(HEIGHT_M, STREET.profile, crossing=STREET.profile, crossing_m=20.0)
    x_m, y_m = np.array([0, 0, 20, 20, 30], np.float32), np.array([0, 8, 0, 8, 8], np.float32)
    classes = [ground.strips[i].point_class.name for i in ground.strip_at(x_m, y_m)]
    assert classes == ["ROAD", "SIDEWALK", "ROAD", "ROAD", "SIDEWALK"]
    assert ground.height_at(x_m, y_m) + HEIGHT_M == pytest.approx([0, 0.12, 0, 0, 0.12], abs=1e-6)


def test_road_coordinates_go_there_and_back() -> None:
    ground = Ground(HEIGHT_M, STREET.profile, heading_rad=0.2, offset_m=1.5, bend=0.01)
    x_m, y_m, direction_rad = ground.from_road(30.0, 2.0)
    along_m, across_m = ground.to_road(np.float32([x_m]), np.float32([y_m]))
    assert (along_m[0], across_m[0]) == pytest.approx((30.0, 2.0), abs=1e-4)
    assert direction_rad == pytest.approx(0.2 + math.atan(0.3))


def test_labels_hold_the_instance_above_16_bits() -> None:
    packed = pack_labels(np.array([6, 1]), np.array([3, 0]))
    assert packed.dtype == np.uint32
    assert packed.tolist() == [3 * 65536 + 6, 1]


def test_a_placed_object_has_the_box_around_its_parts() -> None:
    parts = [Solid((0, 0, 0.5), (4, 2, 1)), Solid((-1, 0, 1.25), (2, 1, 0.5))]
    car = place("car", parts, 5, (10.0, 5.0, -1.7), math.pi / 2)
    assert car.point_class is PointClass.MOVABLE
    assert car.centre_m == pytest.approx((10.0, 5.0, -1.7 + 0.75))
    assert car.size_m == pytest.approx((4, 2, 1.5))
    # The cabin, 1 m behind the middle of a car that faces along y.
    assert car.solids[1].centre_m == pytest.approx((10.0, 4.0, -1.7 + 1.25))


@pytest.mark.parametrize("seed", range(40))
def test_debris_is_20_to_60_cm_large(seed: int) -> None:
    debris = place("debris", KINDS["debris"][1](np.random.default_rng(seed)), 1, (0.0, 0.0, 0.0), 0.0)
    assert 0.2 <= max(debris.size_m) <= 0.6
    assert debris.size_m[2] >= 0.2
