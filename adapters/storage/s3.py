"""Blobs in a bucket: `blobs/<sha256>`, and `staging/` beside them."""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from adapters.storage.blocks import blocks
from adapters.storage.names import checked_hash, checked_key, new_key
from adapters.storage.s3_parts import Digest, Feed, with_first
from adapters.storage.s3_unfinished import UnfinishedUploads
from application.ports.storage import BlobMissing, Staged, StorageFull
from domain.errors import Unavailable

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, PutResult
    from obstore.store import ClientConfig, RetryConfig, S3Credential

PART: Final = 5 * 1024 * 1024
"""Bytes that are sent at a time, the least that S3 takes; of 10,000 parts at the most, so a blob may have 48 GiB."""
PARTS_AT_ONCE: Final = 2
PIECE: Final = 1024 * 1024
"""Bytes that are read at a time, at least."""
LARGEST_COPY: Final = 5 * 1024**3
"""Bytes that S3 copies at once; more have to come here and go back."""
WAIT: Final = 120.0
"""Seconds for one step of a method, with all its retries."""
CLIENT: "Final[ClientConfig]" = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(days=1),  # else a download ends after 30 s, however fast it goes
}
RETRIES: "Final[RetryConfig]" = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}
FULL: Final = ("507 ", "StorageFull", "QuotaExceeded", "InsufficientStorage")
"""How services that can be full say it; Amazon's can't."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class S3BlobStore:
    """Keeps blobs in `bucket`, which must be there, in constant memory: about 30 MB for each upload under way.

    Without `endpoint_url` the service is Amazon's; without a key, requests are signed in the role of the machine. An
    upload that fails or is given up aborts what it has sent. What a process that died had sent of a large one is swept;
    without a key, it is left to the bucket's own rule for incomplete multipart uploads.
    """

    def __init__(
        self,
        bucket: str,
        *,
        region: str,
        endpoint_url: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
    ) -> None:
        own_key: S3Credential | None = None
        self._unfinished: UnfinishedUploads | None = None
        if access_key_id and secret_access_key:
            own_key = {"access_key_id": access_key_id, "secret_access_key": secret_access_key, "expires_at": None}
            address = endpoint_url or f"https://s3.{region}.amazonaws.com"
            self._unfinished = UnfinishedUploads(address, bucket, region, access_key_id, secret_access_key)
        self._store = S3Store(
            bucket,
            config={
                "region": region,
                "disable_bulk_delete": True,
                **({"endpoint": endpoint_url} if endpoint_url else {}),
            },
            client_options={**CLIENT, "allow_http": (endpoint_url or "").startswith("http://")},
            retry_config=RETRIES,
            credential_provider=(lambda: own_key) if own_key else None,
        )
        self._undoing: set[asyncio.Task[None]] = set()

    async def stage(self, chunks: AsyncIterable[bytes]) -> Staged:
        """What is smaller than a part goes in one request, anything else as a multipart upload."""
        key, digest = new_key(), Digest()
        parts = digest.of(blocks(chunks, PART))
        first = await anext(parts)
        if len(first) < PART:
            await self._put_whole(_staged(key), first)
        else:
            await self._put_parts(_staged(key), with_first(first, parts))
        return Staged(key, digest.sha256, digest.size)

    async def keep(self, staged: Staged) -> None:
        source, target = _staged(staged.key), _blob(staged.sha256)
        if staged.size <= LARGEST_COPY:
            await _answer(obstore.copy_async(self._store, source, target))
        else:
            async with self._opened(source, 0, None) as pieces:
                await self._put_parts(target, pieces)
        with suppress(Unavailable):  # it is kept; a sweep takes what is left
            await self.discard(staged)

    async def discard(self, staged: Staged) -> None:
        await self._delete(_staged(staged.key))

    def read_staged(self, staged: Staged) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._opened(_staged(staged.key), 0, None)

    def read(
        self, sha256: str, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._opened(_blob(sha256), start, end)

    async def delete(self, sha256: str) -> None:
        await self._delete(_blob(sha256))

    async def sweep(self, before: datetime) -> int:
        removed = 0
        listing = aiter(obstore.list(self._store, "staging"))
        while found := await _answer(anext(listing, None)):
            for each in found:
                if each["last_modified"] < before:
                    await self._delete(each["path"])
                    removed += 1
        if self._unfinished is not None:
            removed += await self._unfinished.abort("staging/", before)
        return removed

    async def ping(self) -> None:
        """Writes an empty object and removes it."""
        probe = _staged(new_key())
        await _answer(obstore.put_async(self._store, probe, b"", use_multipart=False))
        await self._delete(probe)

    def path_of(self, sha256: str) -> None:
        _blob(sha256)

    async def _put_whole(self, path: str, content: bytes) -> None:
        sending = asyncio.ensure_future(obstore.put_async(self._store, path, content, use_multipart=False))
        try:
            await _sent(asyncio.shield(sending))
        except BaseException:
            await self._undo(path, sending)
            raise

    async def _put_parts(self, path: str, parts: AsyncIterable[bytes]) -> None:
        """The parts are taken in the caller's task and sent from another: an upload is only aborted by what it is
        fed with, and that must happen also when the caller is cancelled."""
        feed = Feed()
        sending = asyncio.ensure_future(
            obstore.put_async(self._store, path, feed.given(), chunk_size=PART, max_concurrency=PARTS_AT_ONCE)
        )
        sending.add_done_callback(lambda _: feed.drain())
        try:
            async for part in parts:
                await _answer(feed.give(part))
                if sending.done():
                    break
            if not sending.done():
                await _answer(feed.give(None))
            await _sent(asyncio.shield(sending))
        except BaseException:
            feed.fail()
            await self._undo(path, sending)
            raise

    async def _undo(self, path: str, sending: "asyncio.Future[PutResult]") -> None:
        """Leave nothing of what is being sent, even if whoever waits for it goes away."""

        async def undo() -> None:
            await asyncio.wait([sending], timeout=WAIT)
            if sending.cancel() or sending.cancelled() or sending.exception() is not None:
                return  # it never came to be
            with suppress(Unavailable):
                await self._delete(path)

        undoing = asyncio.create_task(undo())
        self._undoing.add(undoing)
        undoing.add_done_callback(self._undoing.discard)
        await asyncio.shield(undoing)

    async def _delete(self, path: str) -> None:
        with suppress(BlobMissing):
            await _answer(obstore.delete_async(self._store, path))

    @asynccontextmanager
    async def _opened(self, path: str, start: int, end: int | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """From `start` up to, not including, `end`; whatever of that is there."""
        if end is not None and end <= start:  # no range can say so
            await _answer(obstore.head_async(self._store, path))
            yield _nothing()
            return
        options: GetOptions = {}
        if (start, end) != (0, None):
            options = {"range": {"offset": start} if end is None else (start, end)}
        try:
            got = await _answer(obstore.get_async(self._store, path, options=options))
        except _BeyondTheEnd:
            yield _nothing()
            return
        except _WholeSent:
            got = await _answer(obstore.get_async(self._store, path))
        length = (got.range[1] if end is None else min(end, got.range[1])) - start
        yield _cut(got, start - got.range[0], length)


def _blob(sha256: str) -> str:
    return f"blobs/{checked_hash(sha256)}"


def _staged(key: str) -> str:
    return f"staging/{checked_key(key)}"


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield


async def _cut(got: "GetResult", skip: int, length: int) -> AsyncIterator[bytes]:
    """So many bytes after those that are skipped."""
    stream = aiter(got.stream(PIECE))
    while length > 0 and (received := await _answer(anext(stream, None))) is not None:
        piece = memoryview(received)[skip : skip + length]
        skip = max(0, skip - len(received))
        length -= len(piece)
        if piece:
            yield bytes(piece)


class _BeyondTheEnd(Unavailable):
    """There are no bytes in that range."""


class _WholeSent(Unavailable):
    """The service knows no ranges: it sent everything."""


RANGES: Final = {"416 Range Not Satisfiable": _BeyondTheEnd, "non-partial response": _WholeSent}
"""What obstore says of ranges, which has no classes of errors for it."""


async def _answer(asked: Awaitable[T]) -> T:
    """What the service answers. Raises `BlobMissing`, `StorageFull` or `Unavailable`."""
    with _translated():
        async with asyncio.timeout(WAIT):
            return await asked


async def _sent(sending: Awaitable[T]) -> T:
    """What the service answers when all has been sent to it. Raises `StorageFull` or `Unavailable`."""
    try:
        return await _answer(sending)
    except BlobMissing:
        log.warning("the storage can't be used: it forgot an upload that was under way")
        raise Unavailable from None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        log.warning("the storage can't be used: no answer within %d s", WAIT)
        raise Unavailable from None
    except (BaseError, OSError) as error:
        text = str(error)
        if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in text:
            raise BlobMissing from error
        for sign, meant in RANGES.items():
            if sign in text:
                raise meant from None
        log.warning("the storage can't be used: %s", text.partition("\n")[0])
        raise (StorageFull if any(sign in text for sign in FULL) else Unavailable) from None
