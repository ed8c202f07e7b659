from admlops.engine.browse import browse
from admlops.visualization import MultiTaskVisualizer

CONFIG = "configs/4pe_resize/det_person.py"


def test_labels_of_a_validation_are_drawn_on_the_original(tiny_release, tmp_path, monkeypatch):
    drawn = []

    def draw(visualizer, name, image, sample, out_file):
        drawn.append((image.shape[:2], sample.ori_shape, sample.img_shape, "gt" in sample))
        assert [task.name for task in visualizer.tasks] == ["det_person"]

    monkeypatch.setattr(MultiTaskVisualizer, "add_datasample", draw)
    options = {"val_dataloader.dataset.data_release.root": str(tiny_release)}
    browse(CONFIG, tmp_path, split="val", num_pictures=1, options=options)
    ((shape, original, shown, has_input_labels),) = drawn
    assert shape == original != shown
    assert not has_input_labels
