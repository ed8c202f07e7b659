"""What tests say to the S3 server."""

from admlops.data_release.storage import StorageProfiles

BODY = bytes(range(256)) * 40


def profiles_of(client):
    endpoint = {"endpoint": client.meta.endpoint_url, "region": "us-east-1", "addressing": "path"}
    return StorageProfiles.parse({"a": {"scheme": "s3", **endpoint}, "b": {"scheme": "obs", **endpoint}}, "test")
