import copy

import pytest
from release_files import BUNDLE, VALID

from admlops.data_release.repository.tag_annotation import build_annotation, parse_annotation
from admlops.data_release.schema import TrainingDataset
from admlops.errors import DataReleaseError

# As the specification writes it.
EXAMPLE = """\
task_type: "multi_task"
release_name: "multi_task/release-20251017"
consumer_version: "v1.2.0"
bundle_version: "v1.2.0-20251017-100000"
training_dataset_version: "v1.2.0"
tasks: ["god_base", "drivable_2cls"]
"""
SHA_OF_X = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def test_the_specifications_example():
    annotation = parse_annotation(EXAMPLE, "t")
    assert (annotation.task_type, annotation.bundle_versions) == ("multi_task", ("v1.2.0-20251017-100000",))
    assert (annotation.tasks, annotation.sha256) == (("god_base", "drivable_2cls"), None)


def test_what_is_built_is_read_again_signed_or_not():
    annotation = build_annotation("god/v1.0.3", TrainingDataset.model_validate(VALID), b"x")
    assert annotation.to_text() == (
        'task_type: "god"\nrelease_name: "god/v1.0.3"\nconsumer_version: "v1.2.0"\n'
        f'bundle_version: "{BUNDLE}"\ntraining_dataset_version: "v1.0.3"\ntasks: ["det_person", "seg_lane"]\n'
        f'sha256: "{SHA_OF_X}"\n'
    )
    signed = f"{annotation.to_text()}-----BEGIN PGP SIGNATURE-----\n\niQ: [\n-----END PGP SIGNATURE-----\n"
    assert parse_annotation(signed, "t") == annotation
    assert annotation.differences(annotation) == ()


def test_several_bundles_and_a_topic():
    document = copy.deepcopy(VALID)
    document["meta"]["bundle_versions"] = [BUNDLE, "v1.3.0-release"]
    annotation = build_annotation("feature_dataset/高速/release-20250709", TrainingDataset.model_validate(document), b"x")
    text = annotation.to_text()
    assert "task_type" not in text
    assert f'bundle_versions: ["{BUNDLE}", "v1.3.0-release"]\n' in text
    assert parse_annotation(text, "t") == annotation


def test_differences_name_the_field():
    annotation = build_annotation("god/v1.0.3", TrainingDataset.model_validate(VALID), b"x")
    other = parse_annotation(annotation.to_text().replace('v1.2.0"', 'v1.2.1"'), "t")
    assert annotation.differences(other) == (("consumer_version", "v1.2.0", "v1.2.1"),)


@pytest.mark.parametrize("text", ["Multi-task training v1.0.0", "", "- a", "note: x", "release_name: a\nrelease_name: b"])
def test_no_annotation_of_a_release(text):
    with pytest.raises(DataReleaseError) as caught:
        parse_annotation(text, "t")
    assert caught.value.code == "E205"
