"""Images that a web server gives slowly: read-ahead hides the wait, in forked workers."""

import functools
import http.server
import itertools
import json
import threading
import time

import numpy as np
import pytest
from tiny_release import make_record, write_image, write_release
from torch.utils.data import DataLoader

from admlops.datasets import ReleaseDataset, ReleaseSampler
from admlops.errors import RecordError

COUNT = 48
LATENCY_S = 0.15


class _SlowHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        if self.path.endswith(".png"):
            self.server.asked.append(self.path)
            time.sleep(LATENCY_S)
        super().do_GET()


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "served"
    handler = functools.partial(_SlowHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.asked, server.folder = [], folder
    label = {"seg_lane": {"mask": "images/mask.png"}}
    records = [make_record(f"r{i}", f"images/{i}.png", (8, 8), label) for i in range(COUNT)]
    for i in range(COUNT):
        write_image(folder / "images" / f"{i}.png", (8, 8), seed=i)
    write_image(folder / "images" / "mask.png", (8, 8))
    (folder / "list.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def open_dataset(server, tmp_path, **options):
    root = write_release(tmp_path / "release", [{"name": "a", "records": [], "task_tags": ["seg_lane"]}])
    document = json.loads((root / "training_dataset.json").read_text())
    document["dataset_index"][0]["obs_path"] = f"http://127.0.0.1:{server.server_port}/list.jsonl"
    (root / "training_dataset.json").write_text(json.dumps(document))
    return ReleaseDataset({"root": root}, ["seg_lane"], [{"type": "LoadImage"}], **options)


def keep_mean(samples):
    return [(sample["sample_id"], float(np.mean(sample["img"])), sample["img_path"]) for sample in samples]


def read_epoch(dataset):
    sampler = ReleaseSampler(dataset, seed=3)
    keys = list(itertools.islice(iter(sampler), len(dataset)))
    loader = DataLoader(
        dataset, sampler=keys, batch_size=4, num_workers=2, collate_fn=keep_mean, multiprocessing_context="fork"
    )
    begin = time.monotonic()
    samples = list(itertools.chain.from_iterable(loader))
    return samples, time.monotonic() - begin


def test_read_ahead_hides_the_wait(server, tmp_path, monkeypatch):
    slow, slow_s = read_epoch(open_dataset(server, tmp_path, read_ahead=0))
    assert sorted(server.asked) == sorted(f"/images/{i}.png" for i in range(COUNT))  # the mask is not read, nothing twice
    server.asked.clear()
    cached, _ = read_epoch(open_dataset(server, tmp_path, read_ahead=0))
    assert server.asked == []
    monkeypatch.setenv("ADMLOPS_CACHE", str(tmp_path / "other"))
    fast, fast_s = read_epoch(open_dataset(server, tmp_path, read_ahead=16))
    assert slow == cached == fast
    images = [path for path in server.asked if "mask" not in path]
    assert len(images) == len(set(images)) == COUNT
    assert slow[0][2].startswith("http://127.0.0.1")
    assert slow_s > COUNT * LATENCY_S / 2
    assert fast_s < slow_s


def test_plain_indices_are_read_ahead_too(server, tmp_path):
    dataset = open_dataset(server, tmp_path, read_ahead=5)
    dataset[0]
    limit = time.monotonic() + 20
    while "/images/5.png" not in server.asked and time.monotonic() < limit:
        time.sleep(0.01)
    dataset[COUNT - 1]
    assert set(server.asked) - {"/images/mask.png"} == {"/images/0.png", "/images/5.png", f"/images/{COUNT - 1}.png"}


def test_a_missing_image_names_its_record_and_url(server, tmp_path):
    (server.folder / "images" / "3.png").unlink()
    with pytest.raises(RecordError, match="image cannot be read: there is no such object") as caught:
        open_dataset(server, tmp_path)[3]
    assert caught.value.code == "E401"
    assert ":4 (byte" in str(caught.value.where)
    assert "/images/3.png" in str(caught.value.got)


def test_local_data_are_not_read_ahead(make_release):
    from tiny_release import people

    dataset = ReleaseDataset({"root": make_release([people("a", 3)])}, ["det_person"])
    assert dataset.read_ahead == 0
    assert next(iter(ReleaseSampler(dataset, seed=0))).upcoming is None


def test_quarantined_lines_are_counted_by_entry(make_release):
    from tiny_release import people

    root = make_release([people("a", 3), people("b", 2)])
    with (root / "b" / "index.jsonl").open("a") as file:
        file.write("{\n")
    dataset = ReleaseDataset({"root": root, "on_bad_line": "quarantine", "max_bad": 1}, ["det_person"])
    assert (len(dataset), dataset.quarantined, dataset.num_quarantined) == (5, {"b": 1}, 1)
