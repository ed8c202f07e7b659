import numpy as np

from admlops.engine import browse

CONFIG = "configs/4pe_resize/det_person.py"


def test_labels_of_a_validation_are_drawn_on_the_original(tiny_release, tmp_path, monkeypatch):
    drawn = []

    def draw(image_bgr, sample, tasks):
        drawn.append((image_bgr.shape[:2], sample.ori_shape, sample.img_shape, "gt" in sample))
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(browse, "draw_labels", draw)
    options = {"val_dataloader.dataset.data_release.root": str(tiny_release)}
    browse.browse(CONFIG, tmp_path, split="val", num_pictures=1, options=options)
    ((shape, original, shown, has_input_labels),) = drawn
    assert shape == original != shown
    assert not has_input_labels
