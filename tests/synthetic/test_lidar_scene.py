"""Random scenes: what is always in them, how much of it, and what a sweep of them looks like."""

from collections import Counter

import numpy as np
import pytest

from admlops.point_class import PointClass
from admlops.synthetic.lidar.domain import TRAIN, VAL, Domain
from admlops.synthetic.lidar.objects import COUNTED
from admlops.synthetic.lidar.point_labels import INSTANCE_SHIFT
from admlops.synthetic.lidar.scene import Scene, sample_scene
from admlops.synthetic.lidar.sensor import Sensor, SensorKind, sample_sensor

NUM_SCENES = 12


def draw(domain: Domain, seed: int) -> Scene:
    return sample_scene(domain, seed, np.random.default_rng([5, seed]))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw(domain, seed) for domain in (TRAIN, VAL) for seed in range(NUM_SCENES)]


@pytest.fixture(scope="module")
def sweeps(scenes: list[Scene]) -> list:
    return [scene.sweep(np.random.default_rng(seed)) for seed, scene in enumerate(scenes)]


def test_the_same_seed_gives_the_same_sweep() -> None:
    one, two = (draw(TRAIN, 3).sweep(np.random.default_rng(9)) for _ in range(2))
    assert one.points_N4.tobytes() == two.points_N4.tobytes()
    assert one.labels_N.tobytes() == two.labels_N.tobytes()
    other = draw(TRAIN, 4).sweep(np.random.default_rng(9))
    assert one.points_N4.tobytes() != other.points_N4.tobytes()


def test_every_scene_holds_3_to_8_pieces_of_debris_near_the_road(scenes: list[Scene]) -> None:
    reaches_m = []
    for scene in scenes:
        debris = [item for item in scene.objects if item.kind == "debris"]
        assert 3 <= len(debris) <= 8
        for item in debris:
            reaches_m.append(np.hypot(*item.centre_m[:2]))
            _, across_m = scene.ground.to_road(*(np.float32([value]) for value in item.centre_m[:2]))
            left_m, right_m = scene.ground.profile.road_edges_m
            assert left_m - 3.0 < across_m[0] < right_m + 3.0
    assert min(reaches_m) > 3.0
    assert max(reaches_m) < 45
    assert np.mean(np.array(reaches_m) < 26) > 0.6


def test_instances_are_distinct_and_say_what_was_met(scenes: list[Scene], sweeps: list) -> None:
    for scene, sweep in zip(scenes, sweeps, strict=True):
        counted = [item for item in scene.objects if item.kind in COUNTED]
        assert [item.instance for item in counted] == list(range(1, len(counted) + 1))
        assert all(item.instance == 0 for item in scene.objects if item.kind not in COUNTED)
        classes, instances = sweep.labels_N & 0xFFFF, sweep.labels_N >> INSTANCE_SHIFT
        for item in counted:
            met = sweep.points_N4[instances == item.instance, :3]
            assert set(classes[instances == item.instance]) <= {item.point_class}
            # Noise, bias and elevation error together stay below 20 cm.
            assert (
                np.abs(met - item.centre_m).max(axis=1, initial=0) < np.hypot(*item.size_m[:2]) / 2 + item.size_m[2] / 2 + 0.2
            ).all()
        assert set(Counter(scene.seen_kinds(sweep))) <= set(COUNTED)


def test_objects_stand_on_the_ground(scenes: list[Scene]) -> None:
    for scene in scenes:
        for item in scene.objects:
            if item.kind in ("car", "person", "debris"):
                x_m, y_m = (np.float32([value]) for value in item.centre_m[:2])
                foot_m = item.centre_m[2] - item.size_m[2] / 2
                # A tyre is an ellipsoid whose lowest part is 2 cm below its foot.
                assert foot_m == pytest.approx(scene.ground.height_at(x_m, y_m)[0], abs=0.15)


def test_points_are_finite_within_reach_and_as_many_as_promised(sweeps: list) -> None:
    counts = [len(sweep.points_N4) for sweep in sweeps]
    assert 40_000 < np.mean(counts) < 60_000
    for sweep in sweeps:
        assert np.isfinite(sweep.points_N4).all()
        assert sweep.points_N4.dtype == np.float32
        assert np.linalg.norm(sweep.points_N4[:, :3], axis=1).max() < 80.5
        assert sweep.points_N4[:, 3].min() >= 0
        assert sweep.points_N4[:, 3].max() <= 1


def test_all_classes_that_a_point_can_be_occur(sweeps: list) -> None:
    found = set(np.concatenate([np.unique(sweep.labels_N & 0xFFFF) for sweep in sweeps]))
    # DRIVEABLE is what a coarse source says, not what a place is.
    assert found == set(PointClass) - {PointClass.DRIVEABLE}


def test_roads_are_as_rough_as_real_ones(scenes: list[Scene], sweeps: list) -> None:
    spreads = []
    for sweep in sweeps:
        points = sweep.points_N4[(sweep.labels_N == PointClass.ROAD) & (np.hypot(*sweep.points_N4[:, :2].T) < 25)]
        cells, number, counts = np.unique(np.floor(points[:, :2] / 0.4), axis=0, return_inverse=True, return_counts=True)
        number, z_m = number.ravel(), points[:, 2].astype(float)
        mean = np.bincount(number, z_m) / counts
        deviation = np.sqrt(np.bincount(number, (z_m - mean[number]) ** 2) / counts)
        spreads.append(deviation[counts >= 5])
    # Real road: 7 mm, a tenth of the cells above 14 mm.
    assert 0.005 < np.median(np.concatenate(spreads)) < 0.010
    assert 0.009 < np.percentile(np.concatenate(spreads), 90) < 0.020


def test_validation_has_heights_that_training_lacks(scenes: list[Scene]) -> None:
    trained = [scene.sensor.height_m for scene in scenes[:NUM_SCENES] if len(scene.sensor.elevation_rad) == 64]
    held_out = [scene.sensor.height_m for scene in scenes[NUM_SCENES:]]
    assert not any(1.8 < height < 1.9 for height in trained)
    assert all(1.8 <= height <= 1.9 for height in held_out)


def test_streets_and_sensors_take_turns() -> None:
    scenes = [draw(VAL, number) for number in range(18)]
    streets = Counter(scene.street for scene in scenes)
    assert streets == {"urban": 6, "suburb": 3, "highway": 3, "rural": 3, "yard": 3}
    # Two of the three sensors have 64 beams, and each street meets all three.
    assert Counter(len(scene.sensor.elevation_rad) for scene in scenes if scene.street == "rural") == {64: 2, 32: 1}


def test_a_sensor_has_the_errors_of_its_range() -> None:
    kind = SensorKind(64, 360, ((-25, -24), (2, 3)), (1.0, 1.3), (1.5, 1.8))
    sensors = [sample_sensor(kind, np.random.default_rng(seed)) for seed in range(60)]
    for sensor in sensors:
        assert np.abs(sensor.bias_m).max() <= 0.03
        assert (np.diff(sensor.elevation_rad) > 0).all()
        assert -25.01 < np.degrees(sensor.elevation_rad[0]) < -23.99
        assert 1.99 < np.degrees(sensor.elevation_rad[-1]) < 3.01
        assert 0 < np.abs(sensor.true_elevation_rad - sensor.elevation_rad).max() < np.radians(0.15)
    erased = sum(not sensor.has_intensity for sensor in sensors)
    assert 8 <= erased <= 22


def test_an_ideal_sensor_has_none() -> None:
    sensor = Sensor.ideal(1.7, [-10.0, 0.0])
    assert np.array_equal(sensor.elevation_rad, sensor.true_elevation_rad)
    assert not sensor.bias_m.any()
    assert (sensor.noise_m, sensor.dropout, sensor.stray) == (0, 0, 0)
