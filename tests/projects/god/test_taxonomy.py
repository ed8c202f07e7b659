import numpy as np
import pytest

from admlops.errors import RecordError
from admlops.point_class import PointClass as P
from god.taxonomy import GROUND, OBSTACLES, TAXONOMIES, taxonomy_named

# https://github.com/PRBonn/semantic-kitti-api, config/semantic-kitti.yaml
SEMANTIC_KITTI = {
    P.UNKNOWN: {0, 1, 52},
    P.MOVABLE: {10, 11, 13, 15, 16, 18, 20, 30, 31, 32, 99, 252, 253, 254, 255, 256, 257, 258, 259},
    P.ROAD: {40, 60},
    P.PARKING: {44},
    P.SIDEWALK: {48},
    P.OTHER_GROUND: {49},
    P.TERRAIN: {72},
    P.STATIC: {50, 51, 80, 81},
    P.VEGETATION: {70, 71},
}


def test_every_label_of_semantic_kitti_has_a_class():
    table = TAXONOMIES["semantic_kitti"].point_classes
    assert {point_class: {i for i in table if table[i] is point_class} for point_class in SEMANTIC_KITTI} == SEMANTIC_KITTI
    assert len(table) == 34


def test_every_label_of_nuscenes_has_a_class():
    table = TAXONOMIES["nuscenes_lidarseg"].point_classes
    assert sorted(table) == list(range(32))
    ground = {24: P.DRIVEABLE, 25: P.OTHER_GROUND, 26: P.SIDEWALK, 27: P.TERRAIN}
    assert {i: point_class for i, point_class in table.items() if point_class in GROUND} == ground
    assert {i for i in table if table[i] is P.UNKNOWN} == {0, 31}


def test_ground_obstacles_and_unknown_are_all_there_is():
    assert {*GROUND, *OBSTACLES, P.UNKNOWN} == set(P)


def test_classes_lie_in_the_low_bits_and_instances_in_the_high_ones():
    values = np.array([10, 3 << 16 | 10, 3 << 16 | 30, 40], dtype="<u4")
    classes, instances = TAXONOMIES["semantic_kitti"].read(values, "f", "w")
    assert classes.tolist() == [P.MOVABLE, P.MOVABLE, P.MOVABLE, P.ROAD]
    assert instances.tolist() == [0, 3 << 16 | 10, 3 << 16 | 30, 0]
    classes, instances = TAXONOMIES["nuscenes_lidarseg"].read(np.array([24, 28, 0], dtype="u1"), "f", "w")
    assert (classes.tolist(), instances.tolist()) == ([P.DRIVEABLE, P.STATIC, P.UNKNOWN], [0, 0, 0])
    classes, _ = TAXONOMIES["rendered"].read(np.arange(10, dtype="<u4"), "f", "w")
    assert classes.tolist() == list(range(10))


def test_labels_without_a_meaning_are_refused():
    values = np.array([40, 77, 5 << 16 | 77], dtype="<u4")
    with pytest.raises(
        RecordError, match=r"(?s)label 77 has no meaning in taxonomy 'semantic_kitti'.*index:3.*at 2 points of a\.label"
    ):
        TAXONOMIES["semantic_kitti"].read(values, "a.label", "index:3")
    with pytest.raises(RecordError, match="label 32 has no meaning"):
        TAXONOMIES["nuscenes_lidarseg"].read(np.array([32], dtype="u1"), "a", "w")
    with pytest.raises(RecordError, match=r"(?s)unknown taxonomy 'semantickitti'.*did you mean 'semantic_kitti'"):
        taxonomy_named("semantickitti", "index:3")
