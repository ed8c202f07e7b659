import json

import pytest
import torch
from mmengine.logging import MMLogger

from admlops.engine import compose_checkpoint as module
from admlops.engine.checkpoint import read_checkpoint
from admlops.engine.compose_checkpoint import compose_checkpoint, format_composition
from admlops.engine.config import load_config
from admlops.errors import CheckpointError, ConfigError
from admlops.registry import MODELS

MULTITASK, PERSON, LANE, CROP = (
    f"configs/{name}.py"
    for name in ("4pe_resize/multitask", "4pe_resize/det_person", "4pe_resize/seg_lane", "4pe_crop/multitask")
)
BRANCHES = ["det_cyclist_light", "det_person", "det_rear", "det_vehicle_sign", "seg_default", "seg_lane"]


def network(config):
    MMLogger.get_current_instance().setLevel("ERROR")
    return MODELS.build(load_config(config).model).eval()


def randomised(state, seed):
    """Every tensor another one, the statistics of batch norm and ``seen`` too."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(tensor.shape, generator=generator) + 0.1
        if tensor.is_floating_point()
        else torch.randint(0, 2, tensor.shape, generator=generator).to(tensor.dtype)
        for name, tensor in state.items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network of all tasks; a person network on its trunk, with a head of its own; a lane network on another trunk."""
    path = tmp_path_factory.mktemp("sources")
    multi = randomised(network(MULTITASK).state_dict(), 0)
    own = randomised(network(PERSON).state_dict(), 1)
    person = {name: multi[name] if not name.startswith("branches.") else tensor for name, tensor in own.items()}
    lane = randomised(network(LANE).state_dict(), 2)
    ema = {"ema_state_dict": {f"module.{name}": tensor + 1 for name, tensor in person.items()}, "optimizer": {}}
    torch.save({"meta": {"iter": 7}, "state_dict": multi}, path / "multi.pth")
    torch.save({"meta": {"iter": 8}, "state_dict": person, **ema}, path / "person.pth")
    torch.save(lane, path / "lane.pth")
    return path


def test_parts_come_from_the_checkpoints_that_were_named(folder, tmp_path):
    out = tmp_path / "new" / "out.pth"
    named = {"det_person": folder / "person.pth", "seg_lane": folder / "lane.pth"}
    report = compose_checkpoint(MULTITASK, folder / "multi.pth", out, named)
    multi, person = (read_checkpoint(folder / f"{name}.pth")["state_dict"] for name in ("multi", "person"))
    lane = torch.load(folder / "lane.pth", weights_only=True)
    composed = read_checkpoint(out)
    for name, tensor in composed["state_dict"].items():
        source = person if ".det_person." in name else lane if ".seg_lane." in name else multi
        assert torch.equal(tensor, source[name]), name
    assert "branches.seg_lane.seen" in composed["state_dict"]
    # What an optimizer or an average of other weights knew is not of these weights.
    assert composed.keys() == {"meta", "state_dict", "message_hub", "lineage"}
    network(MULTITASK).load_state_dict(composed["state_dict"], strict=True)

    assert [part.name for part in report.parts] == ["backbone", "neck", *(f"branches.{name}" for name in BRANCHES)]
    origins = {part.name: part for part in report.parts}
    num_shared = sum(not name.startswith("branches.") for name in multi)
    # Counters of batches may agree by chance.
    assert num_shared / 2 < origins["branches.seg_lane"].num_other_shared <= num_shared
    assert [part.name for part in report.parts if part.num_other_shared] == ["branches.seg_lane"]
    assert [(source.weights, source.iteration) for source in report.sources] == [("plain", 7), ("averaged", 8), ("plain", None)]
    text = format_composition(report, out)
    assert "WARNING branches.seg_lane was trained on another trunk" in text
    assert text.count("WARNING") == 1
    assert "branches.seg_lane" in json.loads(out.with_suffix(".json").read_text())["warnings"][0]
    assert json.loads(out.with_suffix(".json").read_text()) == composed["meta"]["composition"]
    assert composed["meta"]["composition"]["num_shared_parameters"] == 819_728
    assert composed["meta"]["composition"]["sources"][0]["sha256"] == module.sha256_of(folder / "multi.pth")
    assert list(out.parent.glob(".*")) == []


@pytest.mark.parametrize(("config", "tasks"), [(PERSON, None), (MULTITASK, ["det_person"])])
def test_one_task_is_taken_out_with_its_outputs(folder, tmp_path, config, tasks):
    report = compose_checkpoint(config, folder / "multi.pth", tmp_path / "person.pth", tasks=tasks)
    assert [part.name for part in report.parts] == ["backbone", "neck", "branches.det_person"]
    assert report.warnings == ()
    small, large = network(PERSON), network(MULTITASK)
    small.load_state_dict(read_checkpoint(tmp_path / "person.pth")["state_dict"], strict=True)
    large.load_state_dict(read_checkpoint(folder / "multi.pth")["state_dict"])
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected, got = large(image), small(image)
    assert got
    for name, output in got.items():
        assert torch.equal(output, expected[name]), name
    assert torch.equal(small.branches["det_person"].seen, large.branches["det_person"].seen)


def test_a_checkpoint_that_was_composed_names_its_own_sources(folder, tmp_path):
    compose_checkpoint(MULTITASK, folder / "multi.pth", tmp_path / "a.pth", {"seg_lane": folder / "lane.pth"})
    report = compose_checkpoint(LANE, tmp_path / "a.pth", tmp_path / "b.pth")
    assert (report.sources[0].weights, report.sources[0].iteration) == ("composed", None)
    assert report.sources[0].made_of["branches.seg_lane"] == str(folder / "lane.pth")


def changed(folder, tmp_path, change):
    checkpoint = read_checkpoint(folder / "person.pth")
    change(checkpoint["state_dict"], checkpoint["meta"])
    torch.save(checkpoint, tmp_path / "changed.pth")
    return tmp_path / "changed.pth"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state, meta: state.pop("branches.det_person.seen"), r"branch 'det_person'.*1 missing, such as .*seen"),
        (lambda state, meta: state.pop("backbone.stem.conv.weight"), r"trunk and neck.*1 missing, such as backbone.stem"),
        (
            lambda state, meta: state.update({"branches.det_person.seen": torch.zeros(2, dtype=torch.bool)}),
            "1 of another shape or type, such as branches.det_person.seen",
        ),
        (lambda state, meta: state.update({"branches.det_person.seen": torch.zeros(1)}), "1 of another shape or type"),
        (lambda state, meta: state.update({"backbone.extra": torch.ones(1)}), "unknown to the network, such as backbone.extra"),
        (
            lambda state, meta: state.update({"branches.det_person.extra": torch.ones(1)}),
            "unknown to the network, such as branches.det_person.extra",
        ),
        (
            lambda state, meta: meta.update(dataset_meta={"tasks": {"det_person": {"classes": ["people"]}}}),
            "other classes.*expected: person.*got: +people",
        ),
    ],
)
def test_a_part_that_does_not_fit_is_refused(folder, tmp_path, change, message):
    path = changed(folder, tmp_path, change)
    with pytest.raises(CheckpointError, match=f"(?s){message}") as caught:
        compose_checkpoint(MULTITASK, folder / "multi.pth", tmp_path / "out.pth", {"det_person": path})
    assert "changed.pth" in str(caught.value)
    assert not list(tmp_path.glob("*out*"))


def test_a_branch_that_nobody_has_is_named_with_the_option_that_gives_it(folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"--branch det_cyclist_light=CKPT"):
        compose_checkpoint(MULTITASK, folder / "person.pth", tmp_path / "out.pth")


def test_a_trunk_of_the_other_network_is_refused(folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"(?s)trunk and neck.*of another shape or type, such as neck") as caught:
        compose_checkpoint(CROP, folder / "multi.pth", tmp_path / "out.pth")
    assert "unknown" not in str(caught.value)


def test_misspelled_branches_and_a_result_that_is_a_source_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'det_person'"):
        compose_checkpoint(MULTITASK, folder / "multi.pth", tmp_path / "out.pth", {"det_persn": folder / "person.pth"})
    with pytest.raises(ConfigError, match="did you mean 'seg_lane'"):
        compose_checkpoint(MULTITASK, folder / "multi.pth", tmp_path / "out.pth", tasks=["seg_lan"])
    with pytest.raises(CheckpointError, match="replace one of its sources"):
        compose_checkpoint(PERSON, folder / "multi.pth", folder / "multi.pth")


def test_a_full_disk_leaves_nothing(folder, tmp_path, monkeypatch):
    def fail(_checkpoint, handle):
        handle.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(module.torch, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        compose_checkpoint(PERSON, folder / "person.pth", tmp_path / "out.pth")
    assert list(tmp_path.iterdir()) == []
