"""The bucket by itself: files of many parts, local copies, addresses."""

import os
import sys
import time
from pathlib import Path

import pytest

from app.administration import bucket_of
from app.blobs.bucket import BucketBlobs
from app.blobs.folder import BlobUnavailable, FolderBlobs
from app.blobs.objects import BucketAddress, open_bucket
from app.errors import ConfigurationError
from app.settings import Settings
from app.spool import whole
from tests.buckets import TestBucket


async def test_a_file_of_many_parts_comes_back_as_it_went(bucket: TestBucket, tmp_path: Path) -> None:
    files = bucket_files(bucket, tmp_path)
    written = os.urandom(12_345_678)
    spool = files.create("req_1")
    spool.write(written)
    await files.share("req_1", 2**42)
    files.directory.joinpath("req_1").unlink()

    fetched = await files.open("req_1")

    assert fetched is not None
    assert b"".join(whole(fetched)) == written
    assert await files.open("req_2") is None
    with pytest.raises(BlobUnavailable):
        await files.open("req_2", just_made=True)


async def test_of_the_local_copies_the_oldest_go_above_the_cap_but_none_that_waits_or_is_young(
    bucket: TestBucket, tmp_path: Path
) -> None:
    files = bucket_files(bucket, tmp_path, bytes_max=250)
    for age_h, name in ((1, "req_1"), (2, "req_2"), (3, "req_3"), (4, "req_4"), (0, "req_young")):
        path = files.directory / name
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - age_h * 3600,) * 2)
    (files.directory / "waiting").mkdir()
    (files.directory / "waiting" / "req_4").touch()

    assert files.tidy(86_400) == 2

    assert {path.name for path in files.directory.glob("req_*")} == {"req_young", "req_1", "req_4"}


def test_a_bucket_without_obstore_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)

    with pytest.raises(ConfigurationError, match=r"imagegate\[s3\]"):
        open_bucket(BucketAddress("s3://pictures"))


@pytest.mark.parametrize("url", ["pictures", "s3://", "https://pictures", "file:///tmp"])
def test_a_url_that_is_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="like s3://bucket/prefix"):
        open_bucket(BucketAddress(url))


def bucket_files(bucket: TestBucket, folder: Path, bytes_max: int = 2**40) -> BucketBlobs:
    address = bucket_of(Settings(_env_file=None, **bucket.settings))
    assert address is not None
    return BucketBlobs(FolderBlobs(folder), open_bucket(address), bytes_max, lambda: time.time_ns() // 1_000_000)
