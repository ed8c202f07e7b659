"""The cache of images: bounded, shared, least recently used go first."""

import multiprocessing
import os
import time

import pytest

from admlops.data_release.storage import RemotePath, StorageProfiles
from admlops.data_release.storage.image_cache import ImageCache
from admlops.errors import ConfigError


def key(number):
    return f"{number * 0x1357:064x}"[::-1]


def used(cache):
    return sum(path.stat().st_size for path in cache.folder.glob("??/*"))


def read(cache, number, content=b"x" * 96):
    asked = []
    assert cache.read(key(number), lambda: (asked.append(1), content)[1], time.monotonic() + 30) == content
    return bool(asked)


def test_an_image_is_downloaded_once(tmp_path):
    cache = ImageCache(tmp_path, 1000)
    assert [read(cache, 1), read(cache, 1), cache.holds(key(1)), cache.holds(key(2))] == [True, False, True, False]


def test_the_least_recently_used_go_and_the_limit_holds(tmp_path):
    cache = ImageCache(tmp_path, 1000)  # ten of 100 bytes, nine are kept
    for number in range(10):
        read(cache, number)
        path = cache._path(key(number))
        os.utime(path, ns=(number, number))
    assert used(cache) == 1000
    assert not read(cache, 0)
    assert read(cache, 10)
    assert used(cache) <= 900
    assert cache.holds(key(0))
    assert not cache.holds(key(1))


def test_what_is_larger_than_the_cache_passes_through(tmp_path):
    cache = ImageCache(tmp_path, 50)
    assert [read(cache, 1), read(cache, 1)] == [True, True]
    assert used(cache) == 0


@pytest.mark.parametrize("damage", [b"", b"x" * 50, b"y" * 100])
def test_a_damaged_image_is_downloaded_again(tmp_path, damage):
    cache = ImageCache(tmp_path, 1000)
    read(cache, 1)
    cache._path(key(1)).write_bytes(damage)
    assert [read(cache, 1), read(cache, 1)] == [True, False]


def _work(folder, seed):
    cache = ImageCache(folder, 2000)
    for number in range(60):
        read(cache, (number * 7 + seed) % 30, bytes([(number * 7 + seed) % 30]) * 96)


def test_processes_share_it_and_never_exceed_the_limit(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_work, args=(tmp_path, seed)) for seed in range(4)]
    for process in processes:
        process.start()
    cache = ImageCache(tmp_path, 2000)
    while any(process.is_alive() for process in processes):
        assert used(cache) <= 2000
        time.sleep(0.01)
    assert [process.exitcode for process in processes] == [0] * 4
    assert int((tmp_path / "total").read_text()) == used(cache)


def test_a_setting_that_is_no_size(monkeypatch):
    monkeypatch.setenv("ADMLOPS_IMAGE_CACHE_GIB", "0.5")
    assert ImageCache.of_machine().limit_bytes == 2**29
    monkeypatch.setenv("ADMLOPS_IMAGE_CACHE_GIB", "much")
    with pytest.raises(ConfigError, match="no size"):
        ImageCache.of_machine()


def test_urls_join_like_paths():
    folder = RemotePath("obs://bucket/lists/train.jsonl", StorageProfiles()).parent
    assert str(folder) == "obs://bucket/lists"
    assert str(folder / "images/a b.png") == "obs://bucket/lists/images/a b.png"
    assert str(folder / "../images//a.png") == "obs://bucket/images/a.png"
    assert str(folder / "../../../a.png") == "obs://bucket/a.png"
    assert str(folder / "s3://other/a.png") == "s3://other/a.png"
    assert str(folder / "/data/a.png") == "/data/a.png"
    assert str(RemotePath("https://host/a.jsonl?x=/y", StorageProfiles()).parent / "b.png") == "https://host/b.png"


def test_an_image_comes_from_the_bucket_of_its_service(s3):
    from s3_server import profiles_of

    s3.put_object(Bucket="lists", Key="images/a.png", Body=b"png")
    path = RemotePath("obs://lists/train.jsonl", profiles_of(s3)).parent / "images/a.png"
    assert not path.is_cached()
    path.prefetch()
    s3.delete_object(Bucket="lists", Key="images/a.png")
    assert path.is_cached()
    assert path.read_bytes() == b"png"
