"""How an ``s3://`` warehouse is reached: by the standard AWS_* variables, with limits on waiting and races.

Credentials are not handled here. delta-rs and Polars read ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
``AWS_SESSION_TOKEN``, ``AWS_WEB_IDENTITY_TOKEN_FILE`` and the instance metadata themselves at each use. So a rotated
key is picked up, and no object of ours holds one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from crypto_assets.proxies import spare_loopback
from crypto_assets.settings import variable

SCHEMES = ("s3://", "s3a://")
RETRIES = 4
REASONS = {
    "NoSuchBucket": "the bucket does not exist; create it or correct the name",
    "AccessDenied": "access denied: let the key list, read, write and delete there",
    "InvalidAccessKeyId": "the store does not know the key of AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID",
    "ExpiredToken": "the credentials have expired; renew them",
    "RequestTimeTooSkewed": "this machine's clock differs from the store's; set it by NTP",
    "XMinioStorageFull": "the store is full; free space",
    "QuotaExceeded": "the store's quota is used up; raise it or free space",
}


def options(uri: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Build the storage options of delta-rs for an address.

    Args:
        uri: a folder or an ``s3://`` address.
        env: where the AWS_* variables are read; by default the environment of the process.

    Returns:
        The options; empty for a folder.
    """
    if not uri.startswith(SCHEMES):
        return {}
    spare_loopback()
    return {
        **_address(os.environ if env is None else env),
        # A commit is "put this file unless it exists": the store itself decides which of two writers was first. No lock
        # table is needed; AWS, MinIO, R2, Ceph and the S3 interface of GCS all support If-None-Match.
        "aws_conditional_put": "etag",
        # delta-rs would try for three minutes; a run should report within one that the store is away.
        "connect_timeout": "5s",
        "timeout": "60s",
        "max_retries": str(RETRIES),
        "retry_timeout": "40s",
    }


def for_polars(uri: str, env: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """Build the storage options of Polars, which reads the files that delta-rs lists.

    Args:
        uri: a folder or an ``s3://`` address.
        env: where the AWS_* variables are read; by default the environment of the process.

    Returns:
        The options; None for a folder.
    """
    if not uri.startswith(SCHEMES):
        return None
    return {**_address(os.environ if env is None else env), "max_retries": RETRIES}


def _address(env: Mapping[str, str]) -> dict[str, str]:
    found = {"aws_region": variable("AWS_REGION", env) or variable("AWS_DEFAULT_REGION", env) or "us-east-1"}
    endpoint = variable("AWS_ENDPOINT_URL_S3", env) or variable("AWS_ENDPOINT_URL", env)
    if endpoint:
        found["aws_endpoint_url"] = endpoint
        if endpoint.startswith("http://"):  # http:// in the address is an explicit choice
            found["aws_allow_http"] = "true"
    return found


def reason(error: BaseException) -> str:
    """Describe why a store or a file system failed.

    Args:
        error: the error.

    Returns:
        One line of at most 200 characters, without terminal colours and addresses.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    code = re.search(r"<Code>(\w+)</Code>", text)
    if code:
        return REASONS.get(code[1], f"the store answered {code[1]}")
    if "↳" in text:  # a chain of causes: the last one is the reason
        text = text.rsplit("↳", 1)[1]
    return " ".join(re.split(r"\n\s*\d+: ", text, maxsplit=1)[0].split())[:200]  # a stack trace follows
