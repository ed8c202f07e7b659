"""A rendered scene: boxes, masks and lane lines agree with each other, and small things are small."""

import numpy as np
import pytest

from admlops.synthetic.camera import Camera
from admlops.synthetic.canvas import CLASS_INDEX, Air, Canvas
from admlops.synthetic.palettes import TRAIN, VAL
from admlops.synthetic.road import Road, lane_polylines
from admlops.synthetic.scene import RenderedScene, _label_boxes, network_scale, render_scene
from admlops.synthetic.sources import SIZES_HW, lane_mask

CLASS_OF = {
    "vehicle": "vehicle",
    "vehicle_rear": "vehicle",
    "vehicle_head": "vehicle",
    "person": "person",
    "cyclist": "cyclist",
    "traffic_sign": "sign",
    "traffic_light": "sign",
}


@pytest.fixture(scope="module")
def scenes() -> list[RenderedScene]:
    found = []
    for k in range(40):
        height, width = (side // 3 for side in SIZES_HW[k % 4])
        found.append(render_scene(TRAIN if k // 4 % 2 else VAL, height, width, np.random.default_rng(k)))
    return found


def make_canvas() -> Canvas:
    # 100 px focal length, 1.5 m above the ground, looking straight ahead.
    return Canvas(Camera(200, 100, 100.0, 1.5, 0.0, 0.0), Air())


def test_projection_by_hand() -> None:
    camera = Camera(200, 100, 100.0, 1.5, 0.0, 0.0)
    pixels, depths = camera.project([[2.0, 0.0, 10.0]])
    # 2 m to the right at 10 m: 20 px from the middle; 1.5 m below the camera: 15 px.
    assert pixels[0] == pytest.approx([120, 65])
    assert depths[0] == pytest.approx(10)
    ground = camera.ground_from_pixel @ [120, 65, 1]
    assert ground[:2] / ground[2] == pytest.approx([2, 10])


def test_positive_pitch_lifts_the_horizon_and_polygons_are_cut_before_the_camera() -> None:
    assert Camera(200, 100, 100.0, 1.5, 0.1, 0.0).horizon_px < 50
    camera = Camera(200, 100, 100.0, 1.5, 0.0, 0.0)
    assert camera.project_polygon([[0, 0, -5], [1, 0, -5], [1, 0, -1]]) is None
    cut = camera.project_polygon([[-1, 0, -5], [1, 0, -5], [1, 0, 10], [-1, 0, 10]])
    assert cut is not None
    assert np.isfinite(cut).all()
    assert cut[:, 1].max() > 100


def test_box_is_of_what_is_visible_and_hidden_things_are_ignored() -> None:
    canvas = make_canvas()
    with canvas.instance("vehicle", "vehicle"):
        canvas.fill_px([(20, 20), (80, 20), (80, 60), (20, 60)], (200, 0, 0))
    with canvas.instance("person", "person"):
        canvas.fill_px([(60, 10), (100, 10), (100, 90), (60, 90)], (0, 0, 200))
    vehicle, person = _label_boxes(canvas)
    assert vehicle.box == pytest.approx((20, 20, 60, 61), abs=1)
    assert not vehicle.is_ignored
    assert person.box == pytest.approx((60, 10, 101, 91), abs=1)
    with canvas.painting("building"):
        canvas.fill_px([(0, 0), (50, 0), (50, 99), (0, 99)], (9, 9, 9))
    # 10 of 60 columns are left: less than 30 % of the silhouette.
    assert _label_boxes(canvas)[0].is_ignored
    with canvas.painting("building"):
        canvas.fill_px([(0, 0), (70, 0), (70, 99), (0, 99)], (9, 9, 9))
    assert [label.category for label in _label_boxes(canvas)] == ["person"]


def test_a_part_counts_for_the_whole() -> None:
    canvas = make_canvas()
    with canvas.instance("vehicle", "vehicle") as whole:
        canvas.fill_px([(20, 20), (80, 20), (80, 60), (20, 60)], (200, 0, 0))
        with canvas.instance("vehicle_rear", "vehicle", is_part=True) as part:
            canvas.fill_px([(50, 20), (90, 20), (90, 60), (50, 60)], (0, 200, 0))
    assert part.part_of == whole.number
    boxes = {label.category: label.box for label in _label_boxes(canvas)}
    assert boxes["vehicle"] == pytest.approx((20, 20, 91, 61), abs=1)
    assert boxes["vehicle_rear"] == pytest.approx((50, 20, 91, 61), abs=1)


def test_boxes_agree_with_the_class_mask(scenes: list[RenderedScene]) -> None:
    for scene in scenes:
        covered = {name: np.zeros(scene.classes.shape, bool) for name in set(CLASS_OF.values())}
        for label in scene.boxes:
            x1, y1, x2, y2 = (int(side) for side in label.box)
            own = scene.classes[y1:y2, x1:x2] == CLASS_INDEX[CLASS_OF[label.category]]
            # Tight: every edge of the box touches the class.
            assert own[0].any()
            assert own[-1].any()
            assert own[:, 0].any()
            assert own[:, -1].any()
            covered[CLASS_OF[label.category]][y1:y2, x1:x2] = True
        for name, mask in covered.items():
            outside = (scene.classes == CLASS_INDEX[name]) & ~mask
            # What is too tiny for a box may remain.
            assert outside.sum() <= 24


def test_parts_lie_inside_their_vehicle(scenes: list[RenderedScene]) -> None:
    for scene in scenes:
        vehicles = np.array([label.box for label in scene.boxes if label.category == "vehicle"]).reshape(-1, 4)
        for label in scene.boxes:
            if label.category in {"vehicle_rear", "vehicle_head"}:
                box = np.array(label.box)
                assert ((vehicles[:, :2] <= box[:2]).all(axis=1) & (vehicles[:, 2:] >= box[2:]).all(axis=1)).any()


def test_median_light_and_sign_are_small(scenes: list[RenderedScene]) -> None:
    for category in ("traffic_light", "traffic_sign"):
        sizes = []
        for scene in scenes:
            scale = network_scale(*scene.classes.shape)
            for label in scene.boxes:
                x1, y1, x2, y2 = label.box
                if label.category == category and not label.is_ignored:
                    sizes.append(scale * ((x2 - x1) * (y2 - y1)) ** 0.5)
        assert len(sizes) > 60
        assert 9 < np.median(sizes) <= 16, category


def test_scenes_hold_what_a_network_learns_from(scenes: list[RenderedScene]) -> None:
    counts: dict[str, int] = {}
    for scene in scenes:
        for label in scene.boxes:
            counts[label.category] = counts.get(label.category, 0) + (not label.is_ignored)
    assert counts.keys() == CLASS_OF.keys()
    assert min(counts.values()) >= len(scenes)
    shown = [set(np.unique(scene.classes)) for scene in scenes]
    for name, index in CLASS_INDEX.items():
        assert sum(index in classes for classes in shown) > 0.6 * len(scenes), name
    categories = {str(line["category"]) for scene in scenes for line in scene.polylines}
    assert categories == {"dashed_white", "solid_white", "solid_yellow", "double_yellow"}


def test_lane_lines_lie_on_the_road_and_masks_hold_the_same(scenes: list[RenderedScene]) -> None:
    on_road = []
    for scene in scenes:
        for line in scene.polylines:
            for x, y in line["points"]:  # type: ignore[attr-defined]
                row, column = min(int(y), scene.classes.shape[0] - 1), min(int(x), scene.classes.shape[1] - 1)
                on_road.append(scene.classes[row, column] == CLASS_INDEX["road"])
        lines = {str(line["category"]) for line in scene.polylines}
        assert len(np.unique(lane_mask(scene))) <= 1 + len(lines)
    assert np.mean(on_road) > 0.95


def test_domains_share_no_weather_and_no_wall() -> None:
    assert not {w.name for w in TRAIN.weathers} & {w.name for w in VAL.weathers}
    assert not set(TRAIN.facades) & set(VAL.facades)
    for material in ("vegetation", "terrain", "wall"):
        assert not set(TRAIN.colors[material]) & set(VAL.colors[material])


def test_an_empty_road_has_no_lines_without_paint() -> None:
    canvas = make_canvas()
    road = Road(0, 0, 0, 0, 200, -4, 4, 0, 0, (), (), None)
    assert lane_polylines(canvas, road) == []
