"""What calls to S3 need: of a bucket, or of objects in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote
from xml.sax.saxutils import unescape

from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.iam.needs.need import Need

# Where the action has another name than the operation.
_ACTIONS = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeleteObjects": "DeleteObject",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}


def needs(call: Call) -> Iterable[Need]:
    action = f"s3:{_ACTIONS.get(call.operation, call.operation)}"
    bucket, key = str(call.parameters.get("Bucket", "")), str(call.parameters.get("Key", ""))
    if not bucket:
        yield Need(action)
    elif call.operation == "DeleteObjects":
        for found in re.findall(r"<Key>(.*?)</Key>", call.body.decode(errors="replace"), re.DOTALL):
            yield Need(action, _object(bucket, unescape(found)))
    elif key:
        yield Need(action, _object(bucket, key))
        if source := str(call.environ.get("HTTP_X_AMZ_COPY_SOURCE", "")):
            name, _, copied = unquote(source).lstrip("/").partition("/")
            yield Need("s3:GetObject", _object(name, copied.partition("?versionId=")[0]))
        if call.environ.get("HTTP_X_AMZ_TAGGING"):
            yield Need("s3:PutObjectTagging", _object(bucket, key))
    else:
        asked = {"prefix": "s3:prefix", "delimiter": "s3:delimiter", "max-keys": "s3:max-keys"}
        context = {key: str(call.parameters[name]) for name, key in asked.items() if name in call.parameters}
        yield Need(action, f"arn:aws:s3:::{bucket}", context)


def _object(bucket: str, key: str) -> str:
    return f"arn:aws:s3:::{bucket}/{key}"
