"""Objects behind URLs: ``obs://``, ``s3://``, ``http(s)://``, ``file://``; fetched once a machine, resumed, verified. No torch.

====================  =============================================================================
``limits``            how long a transfer may stall and last
``profiles``          which endpoint serves a bucket; from ``data_release.yaml``, without secrets
``object_store``      what a kind of storage has to give; the store of a URL
``http_store``        ``http(s)://``
``s3_store``          ``obs://`` and ``s3://``: boto3 signs, the transport below transfers
``http_transport``    one request and its response: timeouts, deadline, connections kept per thread
``transfer``          a whole object through as many requests as it takes
``part_file``         a download that is not complete yet
``blob_cache``        ``fetch_object``: index files, content-addressed, shared by processes and ranks
``image_cache``       images and masks: bounded by bytes, least recently used go first
``remote_path``       a URL that joins and reads like a path
``read_ahead``        threads that fetch what will be asked for soon
====================  =============================================================================
"""

from admlops.data_release.storage.blob_cache import fetch_object, stat_object
from admlops.data_release.storage.limits import TransferLimits
from admlops.data_release.storage.object_store import ObjectInfo, is_url
from admlops.data_release.storage.profiles import StorageProfiles
from admlops.data_release.storage.read_ahead import ReadAhead
from admlops.data_release.storage.remote_path import DataPath, RemotePath, path_of

__all__ = [
    "DataPath",
    "ObjectInfo",
    "ReadAhead",
    "RemotePath",
    "StorageProfiles",
    "TransferLimits",
    "fetch_object",
    "is_url",
    "path_of",
    "stat_object",
]
