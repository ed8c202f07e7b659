import pytest

from admlops.data_release import validate_record
from admlops.data_release.record import paths_in
from admlops.errors import RecordError

IMAGE = {"path": "a.png", "width": 1280, "height": 720}
LIDAR = {"path": "a.bin", "dtype": "float32", "num_features": 4, "origin": [0.0, 0, 1.8]}
BOX_3D = [10.5, -2, 0.4, 4.2, 1.8, 1.5, -1.57]
TRIANGLE = [[0, 0], [9.5, 0], [0, 9]]


def record(label=None, **changes):
    labels = {} if label is None else {"task": label}
    return {"sample_id": "a", "image": IMAGE, "labels": labels} | changes


@pytest.mark.parametrize(
    "valid",
    [
        record(),
        record({"boxes": [], "categories": []}),
        record({"boxes": [[-3, 0, 10, 0.5]], "categories": ["car"], "ignore": [True], "labelled_categories": ["car"]}),
        record({"mask": "obs://bucket/mask.png", "category_sets": {"driveable": ["road", "parking"]}}),
        record({"polylines": [{"category": "solid", "points": [[0, 1], [2, 3.5]]}], "non_exhaustive_categories": []}),
        record({"polylines": [{"category": None, "points": [[0, 1], [2, 3]]}], "ignore_regions": [[[0, 0], [9, 0], [0, 9]]]}),
        {"sample_id": "a", "lidar": LIDAR, "labels": {"god": {"point_labels": "a.label", "taxonomy": "semantic_kitti"}}},
        record({"boxes_3d": [], "categories": []}),
        record({"boxes_3d": [BOX_3D], "categories": ["car"], "ignore": [True], "labelled_region": TRIANGLE}),
        record({"polygons": [TRIANGLE, TRIANGLE], "categories": ["road", "s"], "category_sets": {"s": ["road", "parking"]}}),
        record(lidar=LIDAR | {"intensity_max": 255}),
        record(lidar=LIDAR, attributes={"timestamp_ns": 2**63 - 1, "gps": {"lat": 48.1}, "tags": ["rain"]}),
    ],
)
def test_valid_records(valid):
    validate_record(valid)


def test_files_of_a_record_each_once():
    points = {"point_labels": "a.label", "taxonomy": "rendered"}
    labels = {
        "seg_lane": {"mask": "a_lane.png"},
        "god_base": points,
        "drivable_2cls": points,
        "det": {"boxes": [], "categories": []},
    }
    both = record(lidar=LIDAR, labels=labels)
    assert paths_in(both) == ["a.png", "a.bin", "a_lane.png", "a.label"]
    assert paths_in(both, ["drivable_2cls"]) == ["a.png", "a.bin", "a.label"]
    assert paths_in({"sample_id": "b", "lidar": LIDAR, "labels": labels}, ["seg_lane"]) == ["a.bin", "a_lane.png"]
    assert paths_in(both, []) == ["a.png", "a.bin"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "record: not an object"),
        (record(label={"boxes": [], "categories": []}) | {"lable": {}}, "unknown key 'lable'"),
        (record(sample_id=3), "sample_id: missing or not text"),
        (record(image=None), "record: shows nothing"),
        (record(image=None, lidar=LIDAR), "(?s)image: not an object.*got: +None.*leave the key out"),
        (record(image={"path": "a.png", "width": 10}), "image: lacks height"),
        (record(image=IMAGE | {"hight": 1}), "did you mean 'height'"),
        (record(image=IMAGE | {"width": 10.0}), "image.width: not a size"),
        (record(image=IMAGE | {"width": True}), "image.width: not a size"),
        (record(image=IMAGE | {"path": ""}), "image.path: not a path"),
        (record(lidar=LIDAR | {"origin": [0, 0]}), "lidar.origin: not numbers"),
        (record(lidar=LIDAR | {"intensity_max": 0}), "lidar.intensity_max: not a scale"),
        (record(lidar=LIDAR | {"intensity_max": float("nan")}), "lidar.intensity_max: not a scale"),
        (record(lidar=LIDAR | {"intensity": 255}), "did you mean 'intensity_max'"),
        (record(lidar={"path": "a.bin"}), "lidar: lacks dtype, num_features, origin"),
        ({"sample_id": "a", "image": IMAGE}, "labels: missing"),
        (record(None) | {"labels": {"task": None}}, "labels.task: not an object"),
        (record({}), "labels.task: holds no labels"),
        (record({"boxs": [], "categories": []}), "did you mean 'boxes'"),
        (record({"boxes": [], "mask": "a.png", "categories": []}), "labels of two kinds"),
        (record({"mask": "a.png", "categories": []}), "labels.task: unknown key 'categories'"),
        (record({"boxes": [[10, 0, 10, 5]], "categories": ["car"]}), r"labels.task.boxes\[0\]: not a box"),
        (record({"boxes": [[0, 0, 1, 1], [0, 5, 10, 4]], "categories": ["car"] * 2}), r"boxes\[1\]: not a box"),
        (record({"boxes": [[0, 0, 1]], "categories": ["car"]}), r"boxes\[0\]: not a box"),
        (record({"boxes": [["0", 0, 1, 1]], "categories": ["car"]}), r"boxes\[0\]: not a box"),
        (record({"boxes": [[0, 0, float("nan"), 1]], "categories": ["car"]}), r"boxes\[0\]: not a box"),
        (record({"boxes": [[0, 0, float("inf"), 1]], "categories": ["car"]}), r"boxes\[0\]: not a box"),
        (record({"boxes": [[0, 0, 1, 1]], "categories": []}), "as many categories as boxes"),
        (record({"boxes": [[0, 0, 1, 1]]}), "labels.task.categories: missing"),
        (record({"boxes": [[0, 0, 1, 1]], "categories": [3]}), "something else than names"),
        (record({"boxes": [[0, 0, 1, 1]], "categories": ["car"], "ignore": []}), "not a flag a box"),
        (record({"boxes": [[0, 0, 1, 1]], "categories": ["car"], "ignore": [[]]}), "not a flag a box"),
        (record({"polylines": [{"category": "solid", "points": [[0, 1]]}]}), "too few points"),
        (record({"polylines": [{"category": "solid", "points": [[0, 1], [1, None]]}]}), r"points\[1\]: not numbers"),
        (record({"polylines": [{"points": [[0, 1], [1, 2]]}]}), "not a polyline"),
        (record({"polylines": [{"category": 3, "points": [[0, 1], [1, 2]]}]}), r"polylines\[0\].category: not a class's name"),
        (record({"polylines": [], "ignore_regions": {}}), "ignore_regions: not a list"),
        (record({"polylines": [], "ignore_regions": [[[0, 1], [1, 2]]]}), r"ignore_regions\[0\]: too few points"),
        (record({"polylines": [], "ignore_regions": [[[0, 0], [1, 2], [1, 1e9]]]}), r"ignore_regions\[0\]: not in pixels"),
        (record({"mask": "a.png", "ignore_regions": []}), "unknown key 'ignore_regions'"),
        (record({"point_labels": "a.label"}), "labels.task.taxonomy"),
        (record({"boxes_3d": {}, "categories": []}), "labels.task.boxes_3d: not a list"),
        (record({"boxes_3d": [BOX_3D, BOX_3D[:6]], "categories": ["car"] * 2}), r"boxes_3d\[1\]: not numbers"),
        (record({"boxes_3d": [[float("nan"), *BOX_3D[1:]]], "categories": ["car"]}), r"boxes_3d\[0\]: not numbers"),
        (record({"boxes_3d": [[*BOX_3D[:4], 0, 1, 0]], "categories": ["car"]}), r"boxes_3d\[0\]: not a box"),
        (record({"boxes_3d": [BOX_3D]}), "labels.task.categories: missing"),
        (record({"boxes_3d": [BOX_3D], "categories": []}), "as many categories as boxes"),
        (record({"boxes_3d": [BOX_3D], "categories": ["car"], "ignore": [1]}), "labels.task.ignore: not a flag a box"),
        (record({"boxes_3d": [], "categories": [], "labelled_region": TRIANGLE[:2]}), "labelled_region: too few points"),
        (record({"polygons": [TRIANGLE, TRIANGLE[:2]], "categories": ["road"] * 2}), r"polygons\[1\]: too few points"),
        (record({"polygons": [[*TRIANGLE, [0]]], "categories": ["road"]}), r"polygons\[0\]\[3\]: not numbers"),
        (record({"polygons": [[0, 1, 2]], "categories": ["road"]}), r"polygons\[0\]\[0\]: not numbers"),
        (record({"polygons": [TRIANGLE], "categories": []}), "as many categories as polygons"),
        (record({"polygons": [], "categories": [], "ignore": []}), "unknown key 'ignore'"),
        (record({"mask": "a.png", "labelled_categories": "road"}), "labelled_categories: missing or not a list"),
        (record({"mask": "a.png", "labelled_categories": ["road", "road"]}), "names a class twice"),
        (record({"mask": "a.png", "category_sets": {"driveable": []}}), "an empty set"),
        (record({"mask": "a.png", "category_sets": [["road"]]}), "category_sets: not an object"),
        (record(attributes=[]), "attributes: not an object"),
        (record(attributes={"deep": {"id": float(2**64)}}), "attributes.deep.id: does not fit into 64 bits"),
    ],
)
def test_invalid_records(bad, message):
    with pytest.raises(RecordError, match=message) as caught:
        validate_record(bad, where="f.jsonl:3")
    assert caught.value.code == "E410"
    assert caught.value.where == "f.jsonl:3"
