import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.files import FileId
from domain.resumable import (
    ALGORITHMS,
    LIFETIME,
    MOST_PARTS,
    Checksum,
    ChecksumMismatch,
    OffsetMismatch,
    ResumableUpload,
    TooManyParts,
    UploadNotFound,
    UploadPart,
)
from domain.users import UserId

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)


def an_upload(length: int = 1000) -> ResumableUpload:
    return ResumableUpload(
        id="a",
        owner_id=UserId(1),
        length=length,
        filename="a.txt",
        content_type="text/plain",
        metadata="",
        created_at=NOW,
    )


def a_part(offset: int, size: int) -> UploadPart:
    return UploadPart(offset, "key", "sha256", size)


@given(st.lists(st.lists(st.integers(1, 100), max_size=4), max_size=6), st.integers(-200, 200))
def test_only_what_goes_on_where_it_ended_is_taken(batches: list[list[int]], off_by: int) -> None:
    upload, had = an_upload(), 0
    for sizes in batches:
        begins, parts = upload.offset, []
        for size in sizes:
            parts.append(a_part(begins, size))
            begins += size
        upload.take(parts, had)
        had += len(parts)
        upload.must_be_at(begins)
    assert upload.offset == sum(map(sum, batches))
    if off_by:
        offset = upload.offset
        with pytest.raises(OffsetMismatch):
            upload.take([a_part(offset + off_by, 1)], had)
        assert upload.offset == offset


@given(st.integers(0, MOST_PARTS + 1), st.integers(1, 5))
def test_no_more_parts_are_taken_than_there_may_be(had: int, more: int) -> None:
    upload = an_upload()
    parts = [a_part(offset, 1) for offset in range(more)]
    if had + more > MOST_PARTS:
        with pytest.raises(TooManyParts):
            upload.take(parts, had)
        assert upload.offset == 0
    else:
        upload.take(parts, had)
        assert upload.offset == more


@given(st.timedeltas(timedelta(), 3 * LIFETIME))
def test_it_lives_as_long_as_it_says_whether_it_is_finished_or_not(later: timedelta) -> None:
    upload = an_upload()
    for finish in (False, True):
        if finish:
            upload.finish(FileId(7))
            assert upload.offset == upload.length
        if NOW + later < upload.expires_at:
            upload.must_be_alive(NOW + later)
        else:
            with pytest.raises(UploadNotFound):
                upload.must_be_alive(NOW + later)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_is_that_of_its_own_bytes_only(algorithm: str) -> None:
    checksum = Checksum(algorithm, hashlib.new(algorithm, b"tea", usedforsecurity=False).digest())
    hashed = checksum.new_hash()
    hashed.update(b"te")
    with pytest.raises(ChecksumMismatch):
        checksum.must_be_that_of(hashed)
    hashed.update(b"a")
    checksum.must_be_that_of(hashed)
