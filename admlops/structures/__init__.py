"""What travels between data, networks, metrics and pictures. Imports ``registry`` and below, never datasets or models."""

from admlops.structures.inputs_of_sample import inputs_of_sample
from admlops.structures.label_availability import LabelAvailability
from admlops.structures.multi_task_data_sample import MultiTaskDataSample, TaskLabel
from admlops.structures.output_spec import OutputSpec, TensorSpec
from admlops.structures.shown_window import shown_window

__all__ = [
    "LabelAvailability",
    "MultiTaskDataSample",
    "OutputSpec",
    "TaskLabel",
    "TensorSpec",
    "inputs_of_sample",
    "shown_window",
]
