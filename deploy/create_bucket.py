"""Makes the bucket of `BOXYARD_BLOB_URL`, unless it is there. For S3 servers of our own."""

from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from boxyard_ledger import LedgerSettings
from boxyard_ledger.s3 import S3

_THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def main() -> None:
    """Makes it, and looks that it can be reached."""
    settings = LedgerSettings()
    client, bucket = S3(settings).client, urlsplit(settings.blob_url).netloc
    try:
        client.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _THERE:
            raise
    client.head_bucket(Bucket=bucket)


if __name__ == "__main__":
    main()
