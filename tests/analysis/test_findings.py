"""Each warning on a tiny release that earns it, and on one that does not."""

import dataclasses

import pytest
from tiny_splits import boxes, camera, write_index, write_mask, write_release

from admlops.analysis import Need, ScanOptions, find_warnings

SIGNS = ["det_vehicle_sign"]
CAR, SIGN = ("vehicle", [0, 0, 100, 100]), ("traffic_sign", [0, 0, 100, 100])
NEED = Need(min_instances=2, min_images=1, crop_hw=None)


def good():
    return [camera("a", det_vehicle_sign=boxes(CAR, CAR, SIGN, SIGN)), camera("b", det_vehicle_sign=boxes())]


@pytest.fixture
def warn(tmp_path, analyse):
    """Warnings ``code: where`` of splits given as records."""

    def run(need=NEED, options=None, tasks=SIGNS, **splits):
        paths = {name: write_index(tmp_path / f"{name}.jsonl", records) for name, records in splits.items()}
        keywords = {"options": options} if options else {}
        return [(w.code, w.where) for w in find_warnings(analyse(tasks=tasks, **keywords, **paths), need)]

    return run


def test_good_data_earns_none(warn):
    assert warn(train=good(), val=good()) == []


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([camera("a", det_vehicle_sign=boxes(CAR, CAR, labelled_categories=["vehicle"]))], ("A101", "traffic_sign")),
        ([camera("a", det_vehicle_sign=boxes(CAR, CAR))], ("A102", "traffic_sign")),
        ([camera("a", det_vehicle_sign=boxes(CAR, CAR, SIGN, ignore=[False, False, True]))], ("A103", "traffic_sign")),
        ([camera("a", det_vehicle_sign=boxes(CAR, CAR, SIGN))], ("A105", "traffic_sign")),
        (
            [camera("a", det_vehicle_sign=boxes(CAR, CAR, ("s", [0, 0, 9, 9]), category_sets={"s": ["traffic_sign"]}))],
            ("A107", "traffic_sign"),
        ),
    ],
)
def test_a_class_falls_short(warn, records, expected):
    records = [*records, camera("z", det_vehicle_sign=boxes(labelled_categories=["vehicle"]))]
    assert warn(train=records) == [(expected[0], f"train, det_vehicle_sign.{expected[1]}")]


def test_a_split_lacks_a_class_of_another(warn):
    val = [camera("a", det_vehicle_sign=boxes(CAR, CAR)), camera("b", det_vehicle_sign=boxes())]
    assert warn(train=good(), val=val) == [("A104", "val, det_vehicle_sign.traffic_sign")]


def test_few_images(warn):
    records = [*good(), camera("c", det_vehicle_sign=boxes(CAR))]
    assert warn(dataclasses.replace(NEED, min_images=2), t=records) == [("A105", "t, det_vehicle_sign.traffic_sign")]
    # Where even the task has so few records, one warning says it.
    assert warn(dataclasses.replace(NEED, min_images=9), t=records) == [("A204", "t, det_vehicle_sign")]


def test_one_source_labels_a_class_or_most_of_a_task(tmp_path, analyse):
    cars = [camera(f"c{i}", det_vehicle_sign=boxes(labelled_categories=["vehicle"])) for i in range(2)]
    root = write_release(tmp_path / "r", both=(good(), SIGNS, 5), cars=(cars, SIGNS, 1))
    warnings = find_warnings(analyse(train=root), NEED)
    assert [(w.code, w.where) for w in warnings] == [
        ("A106", "train, det_vehicle_sign.traffic_sign"),
        ("A203", "train, det_vehicle_sign"),
    ]
    assert "labelled in one source only, both, of 2" in warnings[0].what
    assert "both gives 83%" in warnings[1].what  # 10 of 12 samples an epoch


def test_a_task_is_not_labelled_or_has_no_negative(warn):
    crowded = [camera("a", det_vehicle_sign=boxes(CAR, CAR, SIGN, SIGN))]
    assert warn(train=good(), val=crowded) == [("A202", "val, det_vehicle_sign")]
    assert warn(train=good(), val=[camera("a")]) == [("A201", "val, det_vehicle_sign")]
    assert warn(tasks=None, train=[camera("a")]) == [("A205", "train")]


def test_sizes(warn):
    small = [("traffic_sign", [0, 0, 15, 99])] * 2  # 7.5 px in the input
    records = [camera("a", det_vehicle_sign=boxes(CAR, CAR, *small)), camera("b", (375, 1242), det_vehicle_sign=boxes())]
    need = dataclasses.replace(NEED, crop_hw=(512, 960))
    assert warn(need, t=records) == [("A301", "t, det_vehicle_sign.traffic_sign"), ("A302", "t")]


def test_leaks(tmp_path, analyse):
    (tmp_path / "images").mkdir()
    for name in "ab":
        write_mask(tmp_path / "images" / f"{name}.png", [0, 9, 0, 250, 30, 0, 90, 7, 60], (1080, 1920))
    train = write_index(tmp_path / "train.jsonl", [camera("a", scene="s", **good()[0]["labels"]), good()[1]])
    val = write_index(tmp_path / "val.jsonl", [camera("b", scene="s", **good()[0]["labels"]), {**good()[1], "sample_id": "a"}])
    warnings = find_warnings(analyse(ScanOptions(), train=train, val=val), NEED)
    assert [(w.code, w.where) for w in warnings] == [("A401", "train and val"), ("A403", "train and val")]


def test_masks_that_were_not_read_earn_no_warning(warn):
    masked = [camera(str(i), seg_lane={"mask": "x.png"}) for i in range(2)]
    options = ScanOptions(max_masks=0, read_images=False)
    assert warn(options=options, tasks=["seg_lane"], train=masked) == []
