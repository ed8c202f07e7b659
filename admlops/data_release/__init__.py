"""Data releases: which index files a training reads, checked and pinned. Imports ``task_spec`` and ``errors``; no torch.

======================  ==============================================================================
``names``               which names of tasks, branches, tags, bundles are valid
``strict_json``         JSON without surprises, with line and column; ``strict_yaml`` the same of YAML
``problem``             one fault, whoever found it
``schema``, ``rules``   fields of ``training_dataset.json``; rules over several fields
``dataset_file``        check a file: all faults at once
``new_release``         write a file around entries
``git_repository``      read a repository at a commit
``locate``              from ``obs_path`` to a file on this machine
``storage``             objects behind URLs: fetched once a machine, resumed, verified; images in a bounded cache
``cache``               derived files, atomically written, shared by processes
``training_release``    ``open_release``, selection by task
``record``              shape of one line of an index file
``line_offsets``        where lines begin; the one-time check of every record
``bad_lines``           lines that are left out, counted and written down, on demand
``jsonl_index``         ``JsonlIndex``: records by position; ``RecordPlace``, which one an error is about
``sample_counts``       samples of entries, tasks and bundles: pinned, counted, or named as unknown
``sample_diff``         which samples two index files share
``version_constraint``  versions of channels, and what consumers accept
``spec_hub``            a checkout of DataSpecHub
``text_table``          tables for terminals and Markdown
======================  ==============================================================================
"""

from admlops.data_release.dataset_file import InvalidDatasetFileError, check_dataset_file, read_dataset_file
from admlops.data_release.jsonl_index import JsonlIndex, RecordPlace
from admlops.data_release.problem import Problem
from admlops.data_release.record import validate_record
from admlops.data_release.schema import Integrity, ReleaseEntry, ReleaseMeta, TrainingDataset
from admlops.data_release.training_release import SelectedEntry, TrainingRelease, open_release

__all__ = [
    "Integrity",
    "InvalidDatasetFileError",
    "JsonlIndex",
    "Problem",
    "RecordPlace",
    "ReleaseEntry",
    "ReleaseMeta",
    "SelectedEntry",
    "TrainingDataset",
    "TrainingRelease",
    "check_dataset_file",
    "open_release",
    "read_dataset_file",
    "validate_record",
]
