"""The hash of a config: of what it says, not of how it is written or where things lie."""

import hashlib

import pytest

from admlops.data_release.config_hash import config_sha256

TEXT = """model = dict(neck=dict(in_channels=(16, 32), type='Neck'), scale=-0.5)
work_dir = '/home/ada/work'
train_dataloader = dict(dataset=dict(data_release=dict(ref='multi_task/v1.0.0', repo='git/data')))
fusion = dict({'fusion-bn': ['backbone.*']})
"""
CANONICAL = (
    '{"fusion":{"fusion-bn":["backbone.*"]},'
    '"model":{"neck":{"in_channels":[16,32],"type":"Neck"},"scale":"-0.5"},'
    '"train_dataloader":{"dataset":{"data_release":{"ref":"multi_task/v1.0.0"}}}}'
)


def test_a_hash_computed_by_hand():
    assert config_sha256(TEXT) == hashlib.sha256(CANONICAL.encode()).hexdigest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(16, 32)", "[\n    16,\n    32,\n]"),
        ("/home/ada/work", "elsewhere"),
        ("repo='git/data'", "repo='/data/release.git'"),
        ("work_dir =", "load_from = 'base.pth'\nresume = True\nlauncher = 'pytorch'\nwork_dir ="),
    ],
)
def test_what_does_not_count(old, new):
    assert old in TEXT
    assert config_sha256(TEXT.replace(old, new)) == config_sha256(TEXT)


@pytest.mark.parametrize(("old", "new"), [("-0.5", "-0.25"), ("v1.0.0", "v1.0.1"), ("'Neck'", "'Other'"), ("32", "32.0")])
def test_what_counts(old, new):
    assert config_sha256(TEXT.replace(old, new)) != config_sha256(TEXT)


def test_a_config_is_never_run(tmp_path):
    target = tmp_path / "made"
    config_sha256(f"a = open({str(target)!r}, 'w')")
    with pytest.raises(ValueError, match="line 1 is no assignment"):
        config_sha256(f"open({str(target)!r}, 'w')")
    assert not target.exists()
