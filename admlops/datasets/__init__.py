"""Release -> samples: data set, sampler and transforms. Imports structures, registry, data_release and below; never models."""

from admlops.datasets import transforms
from admlops.datasets.release_dataset import ReleaseDataset, Segment
from admlops.datasets.release_sampler import ReleaseSampler
from admlops.datasets.sample_key import SampleKey
from admlops.datasets.task_annotation import DetectionAnnotation, SegmentationAnnotation, TaskAnnotation
from admlops.datasets.worker_init import init_worker

__all__ = [
    "DetectionAnnotation",
    "ReleaseDataset",
    "ReleaseSampler",
    "SampleKey",
    "Segment",
    "SegmentationAnnotation",
    "TaskAnnotation",
    "init_worker",
    "transforms",
]
