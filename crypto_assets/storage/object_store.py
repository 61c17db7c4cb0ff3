"""How an ``s3://`` warehouse is reached: the standard AWS_* variables, with limits on what would hang or race.

Credentials are not handled here: delta-rs and Polars read ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
``AWS_SESSION_TOKEN``, ``AWS_WEB_IDENTITY_TOKEN_FILE`` and the instance metadata themselves, at each use, so that a
rotated key is picked up and no object of ours holds one.
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
    """Storage options of delta-rs for this address; none for a folder. ``env``: where AWS_* is read (the process's)."""
    if not uri.startswith(SCHEMES):
        return {}
    spare_loopback()
    return {
        **_address(os.environ if env is None else env),
        # A commit is "put this file unless it is there": the store itself decides which of two writers was first. No lock
        # table is needed; AWS, MinIO, R2, Ceph and GCS's S3 face all know If-None-Match.
        "aws_conditional_put": "etag",
        # delta-rs would try for three minutes; a run should say within one that the store is away.
        "connect_timeout": "5s",
        "timeout": "60s",
        "max_retries": str(RETRIES),
        "retry_timeout": "40s",
    }


def for_polars(uri: str, env: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """The same for Polars, which reads the files that delta-rs lists."""
    if not uri.startswith(SCHEMES):
        return None
    return {**_address(os.environ if env is None else env), "max_retries": RETRIES}


def _address(env: Mapping[str, str]) -> dict[str, str]:
    found = {"aws_region": variable("AWS_REGION", env) or variable("AWS_DEFAULT_REGION", env) or "us-east-1"}
    endpoint = variable("AWS_ENDPOINT_URL_S3", env) or variable("AWS_ENDPOINT_URL", env)
    if endpoint:
        found["aws_endpoint_url"] = endpoint
        if endpoint.startswith("http://"):  # whoever writes http:// into the address means it
            found["aws_allow_http"] = "true"
    return found


def reason(error: BaseException) -> str:
    """Why a store or a file system failed, in one line of at most 200 characters without colours and addresses."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    code = re.search(r"<Code>(\w+)</Code>", text)
    if code:
        return REASONS.get(code[1], f"the store answered {code[1]}")
    if "↳" in text:  # a chain of causes: the last one says it
        text = text.rsplit("↳", 1)[1]
    return " ".join(re.split(r"\n\s*\d+: ", text, maxsplit=1)[0].split())[:200]  # what follows is a trace's frames
