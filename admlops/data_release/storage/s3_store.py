"""``obs://`` and ``s3://``: boto3 finds credentials and signs; the bytes come through the transport of web servers.

boto3 does not retry a body that ends early and waits for a stalled one for good, so the transfer is our own.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from admlops.data_release.repository.registry import StorageProfile
from admlops.data_release.storage.profiles import StorageProfiles
from admlops.errors import DataReleaseError, MachineError

_SIGNED_FOR_S = 3600


class S3Store:
    """An object store that speaks S3.

    Args:
        profile: Its endpoint.
    """

    def __init__(self, profile: StorageProfile) -> None:
        self.profile = profile

    @classmethod
    def of(cls, url: str, profiles: StorageProfiles) -> S3Store:
        """Find the store of a bucket.

        Args:
            url: Of an object.
            profiles: Endpoints of buckets.

        Returns:
            The store; for ``s3://`` without a profile that of boto3's own settings.

        Raises:
            DataReleaseError: E124, two profiles fit, or none does for ``obs://``.
        """
        scheme, bucket, _ = split_url(url)
        profile = profiles.pick(scheme, bucket)
        if profile is None and scheme == "obs":
            raise DataReleaseError(
                f"no storage profile says where {scheme}://{bucket} is",
                where=url,
                expected="storage: {<name>: {scheme: obs, endpoint: https://obs.<region>.myhuaweicloud.com, region: <region>}}",
                remedy="write it into data_release.yaml, or into a file that ADMLOPS_STORAGE names",
                code="E124",
            )
        return cls(profile or StorageProfile(scheme="s3"))

    def sign(self, method: str, url: str, version_id: str | None) -> str:
        """Sign a request.

        Args:
            method: ``GET`` or ``HEAD``.
            url: Of the object.
            version_id: Of the version to ask for; None for the present one.

        Returns:
            A signed URL, valid for an hour.

        Raises:
            DataReleaseError: E401, no credentials, or a name that no bucket can have.
            MachineError: boto3 is not installed.
        """
        client = _client(self.profile, os.getpid())
        from botocore.exceptions import BotoCoreError, NoCredentialsError

        _, bucket, key = split_url(url)
        parameters = {"Bucket": bucket, "Key": key} | ({"VersionId": version_id} if version_id else {})
        operation = "head_object" if method == "HEAD" else "get_object"
        try:
            signed: str = client.generate_presigned_url(operation, Params=parameters, ExpiresIn=_SIGNED_FOR_S)
        except NoCredentialsError as error:
            raise DataReleaseError(
                "there are no credentials for an object store",
                where=url,
                remedy="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws and AWS_PROFILE",
                code="E401",
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise DataReleaseError(f"an object cannot be asked for: {error}", where=url, code="E401") from error
        return signed


def split_url(url: str) -> tuple[str, str, str]:
    """Take an object's URL apart. The key is taken as written: ``%``, ``?`` and ``#`` are characters like any other.

    Args:
        url: ``scheme://bucket/key``.

    Returns:
        Scheme, bucket, key.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return scheme, bucket, key


@functools.lru_cache(maxsize=32)
def _client(profile: StorageProfile, pid: int) -> Any:
    # One client a process: what fork hands down belongs to the parent.
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise MachineError(
            "object stores need boto3", expected="the extra [s3]", remedy='pip install "admlops[s3]", or pip install boto3'
        ) from error
    # boto3's auto puts the bucket into the path wherever an endpoint is given; OBS wants it in the host's name.
    obs = profile.scheme == "obs" and profile.addressing == "auto"
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "virtual" if obs else profile.addressing},
        # Other services than AWS refuse the checksums that boto3 sends and asks for by default.
        request_checksum_calculation=profile.checksums,
        response_checksum_validation=profile.checksums,
    )
    try:
        session = boto3.session.Session(profile_name=profile.credentials_profile)
        return session.client("s3", endpoint_url=profile.endpoint, region_name=profile.region, config=config)
    except (BotoCoreError, ValueError) as error:
        raise DataReleaseError(
            f"a storage profile cannot be used: {error}", where=profile.endpoint or profile.scheme, code="E124"
        ) from error
