"""What only the store in a bucket has to prove."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from adapters.storage import s3, s3_unfinished
from adapters.storage.names import new_key
from adapters.storage.s3 import PART, S3BlobStore
from adapters.storage.s3_unfinished import UnfinishedUploads
from application.ports.storage import BlobStore, StorageFull
from domain.errors import Unavailable
from tests.contracts.blobs import CONTENT, CONTENT_SHA256, all_of, in_chunks, kept, s3_blobs
from tests.partner_server import nobodys_address
from tests.s3_servers import SECRET_ACCESS_KEY, S3Server

FULL = (
    b"HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/xml\r\nContent-Length: 77\r\n\r\n"
    b"<Error><Code>XMinioStorageFull</Code><Message>No room is left</Message></Error>"
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "RETRIES", {"max_retries": 0})


@asynccontextmanager
async def service(answer: bytes | None) -> AsyncIterator[str]:
    """One that says the same to everything, or nothing at all; yields its address."""

    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if answer is not None:
            with suppress(asyncio.IncompleteReadError):  # nobody who hung up is answered
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = re.search(r"^content-length: (\d+)", head, re.MULTILINE)
                await reader.readexactly(int(length[1]) if length else 0)
                writer.write(answer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for connection in connections:
            connection.close()


async def refusals(blobs: BlobStore) -> list[type[object]]:
    """What each method raises, in a store that doesn't work."""
    attempts = [
        blobs.ping(),
        blobs.stage(in_chunks(CONTENT)),
        blobs.stage(in_chunks(bytes(2 * PART))),
        blobs.delete(CONTENT_SHA256),
        all_of(blobs.read(CONTENT_SHA256)),
        all_of(blobs.read(CONTENT_SHA256, 1, 2)),
    ]
    return [type(outcome) for outcome in await asyncio.gather(*attempts, return_exceptions=True)]


async def test_a_wrong_secret_is_unavailable_and_none_is_in_the_log(
    rclone: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    blobs = s3_blobs(rclone, rclone.new_bucket(), secret_access_key="short-and-wrong")

    assert set(await refusals(blobs)) == {Unavailable}
    assert "Error performing" in caplog.text
    assert "short-and-wrong" not in caplog.text + repr(blobs) + repr(blobs._store)
    assert SECRET_ACCESS_KEY not in caplog.text


@pytest.mark.parametrize("name", ["moto", "rclone"])
async def test_a_bucket_that_is_not_there_is_unavailable(request: pytest.FixtureRequest, name: str) -> None:
    assert set(await refusals(s3_blobs(request.getfixturevalue(name), "portico-missing"))) == {Unavailable}


async def test_a_service_that_is_away_is_unavailable() -> None:
    with nobodys_address() as url:
        assert set(await refusals(S3BlobStore("files", region="us-east-1", endpoint_url=url))) == {Unavailable}


async def test_a_service_that_says_nothing_is_given_up_and_takes_no_more_than_it_can_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3, "WAIT", 0.2)
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += PART
            yield bytes(PART)

    async with service(None) as url:
        blobs = S3BlobStore("files", region="x", endpoint_url=url, access_key_id="key", secret_access_key="secret")
        assert set(await refusals(blobs)) == {Unavailable}
        with pytest.raises(Unavailable):
            await blobs.stage(chunks())
    assert taken <= 5 * PART


async def test_a_service_without_room_is_full() -> None:
    async with service(FULL) as url:
        blobs = S3BlobStore("files", region="x", endpoint_url=url, access_key_id="key", secret_access_key="secret")
        for size in (0, 10, 2 * PART):
            with pytest.raises(StorageFull):
                await blobs.stage(in_chunks(bytes(size)))


async def test_what_is_too_large_to_be_copied_at_once_is_kept_all_the_same(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "LARGEST_COPY", PART)
    bucket = moto.new_bucket()
    content = bytes(range(256)) * (3 * PART // 256) + b"the end"
    staged = await kept(s3_blobs(moto, bucket), content)

    assert await all_of(s3_blobs(moto, bucket).read(staged.sha256)) == content
    assert moto.names_in(bucket) == {f"blobs/{sha256(content).hexdigest()}"}


@pytest.mark.parametrize("name", ["moto", "rclone"])
async def test_a_sweep_aborts_what_a_process_that_was_killed_had_sent(
    request: pytest.FixtureRequest, name: str
) -> None:
    server: S3Server = request.getfixturevalue(name)
    bucket = server.new_bucket()
    blobs, client = s3_blobs(server, bucket), server.client
    for key in (*(f"staging/{new_key()}" for _ in range(3)), "staging/of somebody else"):
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)
        part = {"UploadId": upload["UploadId"], "PartNumber": 1, "Body": bytes(PART)}
        client.upload_part(Bucket=bucket, Key=key, **part)
    await kept(blobs)

    assert await blobs.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await blobs.sweep(datetime.now(UTC) + timedelta(hours=1)) == 3
    assert server.names_in(bucket) == {f"blobs/{CONTENT_SHA256}", "unfinished staging/of somebody else"}


async def test_a_sweep_needs_a_service_that_answers(rclone: S3Server) -> None:
    wrong = s3_blobs(rclone, rclone.new_bucket(), secret_access_key="short-and-wrong")
    for answer in (
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n<",
        b"",
    ):
        async with service(answer) as url:
            unfinished = UnfinishedUploads(url, "files", "x", "key", "secret")
            with pytest.raises(Unavailable):
                await unfinished.abort("staging/", datetime.now(UTC))
    with pytest.raises(Unavailable):
        await wrong._unfinished.abort("staging/", datetime.now(UTC))  # type: ignore[union-attr]


async def test_a_sweep_gives_up_a_service_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_unfinished, "WAIT", 0.2)
    async with service(None) as url:
        with pytest.raises(Unavailable):
            await UnfinishedUploads(url, "files", "x", "key", "secret").abort("staging/", datetime.now(UTC))


async def test_a_sweep_takes_no_more_than_it_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = b"<ListMultipartUploadsResult></ListMultipartUploadsResult>"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(listing), listing)
    async with service(answer) as url:
        unfinished = UnfinishedUploads(url, "files", "x", "key", "secret")
        assert await unfinished.abort("staging/", datetime.now(UTC)) == 0
        monkeypatch.setattr(s3_unfinished, "LARGEST_ANSWER", len(listing) - 1)
        with pytest.raises(Unavailable):
            await unfinished.abort("staging/", datetime.now(UTC))


async def test_a_sweep_takes_its_signature_nowhere_else() -> None:
    asked = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(65536))
        writer.close()

    async with await asyncio.start_server(elsewhere, "127.0.0.1", 0) as server:
        there = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        moved = f"HTTP/1.1 301 Moved Permanently\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n"
        async with service(moved.encode()) as url:
            with pytest.raises(Unavailable):
                await UnfinishedUploads(url, "files", "x", "key", "secret").abort("staging/", datetime.now(UTC))

    assert asked == []


async def test_who_is_cancelled_again_while_an_upload_is_aborted_still_leaves_nothing(moto: S3Server) -> None:
    bucket = moto.new_bucket()
    blobs, waits = s3_blobs(moto, bucket), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(2 * PART)
        waits.set()
        await asyncio.Event().wait()

    staging = asyncio.create_task(blobs.stage(chunks()))
    await waits.wait()
    for _ in range(3):
        staging.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(staging, return_exceptions=True)
    await asyncio.gather(*blobs._undoing)

    assert moto.names_in(bucket) == set()
