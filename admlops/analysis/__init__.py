"""What is in data releases, and where it falls short of what the tasks need. No torch, no mm* package.

=====================  ==============================================================================
``splits``             what is analysed: index files, release folders, repositories at a ref
``record_scan``        one stretch of records -> counts; runs in worker processes
``class_states``       what a label says about each class of its task
``label_columns``      labels of one task, collected and counted; ``box_columns``, ``mask_columns``, ``cloud_columns``
``read_pixels``        masks and pictures that a record names
``counts``             all counts of a source
``log_histogram``      quantiles in constant memory
``thumbnail``          pictures at 16x18 and their difference hashes
``hash_search``        all hashes within some bits, without comparing each with each
``near_duplicates``    equal files, near duplicates and scenes that splits share
``analysis_run``       ``scan_splits``: everything, on all cores
``tables``             the numbers as tables
``findings``           warnings against the tasks' need
``plots``              the numbers as pictures
``html_report``        one HTML file
``report``             everything into a folder
``release_report``     what a tag is made of, into a folder; ``release_plots`` its pictures
=====================  ==============================================================================

May import ``conversion`` (its process pool), ``data_release``, ``task_spec``, ``project`` and ``errors``.
"""

from admlops.analysis.analysis_run import Analysis, scan_splits
from admlops.analysis.findings import DataWarning, Need, find_warnings
from admlops.analysis.record_scan import ScanOptions
from admlops.analysis.report import format_summary, write_report
from admlops.analysis.splits import SplitPlace, open_splits
from admlops.analysis.tables import Table, build_tables

__all__ = [
    "Analysis",
    "DataWarning",
    "Need",
    "ScanOptions",
    "SplitPlace",
    "Table",
    "build_tables",
    "find_warnings",
    "format_summary",
    "open_splits",
    "scan_splits",
    "write_report",
]
