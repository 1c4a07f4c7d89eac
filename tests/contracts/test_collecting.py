"""Uploads and collections of the same bytes at once, on real disks and databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from adapters.security.secrets import SystemSecrets
from adapters.storage.disk import DiskBlobStore
from application.collecting import CollectBlob, SweepBlobs
from application.files import DeleteFile
from application.ports.persistence.blobs import BeingDeleted
from application.uploads import KeepDrafts, KeepStaged, StageDrafts, StageUpload, StoreFiles, Upload
from domain.files import File
from domain.pages import PageRequest
from domain.users import Actor
from tests.builders import a_job
from tests.contracts.stores import Store

TEA = b"tea" * 1000
HASH = sha256(TEA).hexdigest()
ROUNDS = 15


async def uploads() -> AsyncIterator[Upload]:
    async def chunks() -> AsyncIterator[bytes]:
        yield TEA

    yield Upload("tea.txt", None, chunks())


async def test_bytes_are_there_as_long_as_a_file_refers_to_them_and_no_longer(sql_store: Store, tmp_path: Path) -> None:
    store, clock, folder = sql_store, sql_store.clock, tmp_path / "files"
    blobs = DiskBlobStore(folder)
    ada = Actor(await store.has(), "a session")
    keep = KeepDrafts(KeepStaged(store.begin, blobs, SystemSecrets(b"s" * 32), clock), clock, 10**9)
    store_files = StoreFiles(StageDrafts(StageUpload(store.reads, blobs, 10**9), blobs), keep, 10**9)
    delete_file = DeleteFile(store.begin)
    collect = CollectBlob(store.begin, blobs, clock)
    sweep = SweepBlobs(store.reads, blobs, clock, collect)

    async def collect_soon() -> None:
        """As a worker does, but without a pause."""
        while True:
            with suppress(BeingDeleted):
                return await collect(a_job(sha256=HASH))

    async def replace(file: File) -> File:
        """Delete it and store it again, while somebody collects what it left."""
        await delete_file(ada, file.id)
        (_, (stored,)) = await asyncio.gather(collect_soon(), store_files(ada, uploads()))
        return stored

    async def read() -> bytes:
        async with blobs.read(HASH) as content:
            return b"".join([block async for block in content])

    files = [file for _ in range(3) for file in await store_files(ada, uploads())]
    for _ in range(ROUNDS):
        replacing = asyncio.gather(*(replace(file) for file in files))
        await asyncio.gather(collect_soon(), sweep(a_job()))
        files = await replacing
        assert await read() == TEA
    assert (await store.reads.files(ada.user.id, PageRequest())).total == 3
    for file in files:
        await delete_file(ada, file.id)
    await collect(a_job(sha256=HASH))
    assert not [path for path in folder.rglob("*") if path.is_file()]
    clock.advance(timedelta(days=2))
    assert not await store.reads.unused_blobs(claimed_before=clock.now(), after="", limit=10)
