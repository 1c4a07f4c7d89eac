"""What only the store on the local disk has to prove."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_ISDIR

import pytest

from adapters.storage import disk
from adapters.storage.disk import BLOCK, DiskBlobStore
from application.ports.storage import StorageFull
from domain.errors import Unavailable
from tests.contracts.blobs import CONTENT, CONTENT_SHA256, all_of, files_in, in_chunks, kept
from tests.small_file_system import fill, forbid_writing, small_file_system

MIB = 1024 * 1024
STAGE_AND_DIE = """
import asyncio, os, sys
from pathlib import Path
from adapters.storage.disk import DiskBlobStore

async def chunks():
    for _ in range(8):
        yield bytes(1024 * 1024)
    os.kill(os.getpid(), 9)

asyncio.run(DiskBlobStore(Path(sys.argv[1])).stage(chunks()))
"""


class Disk:
    """What a loss of power would leave: names and sizes as they were when their folder or file was last synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sizes: dict[int, int] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self._synced)

    def _synced(self, descriptor: int) -> None:
        self._sync(descriptor)
        status = os.fstat(descriptor)
        if S_ISDIR(status.st_mode):
            names = {name: os.stat(name, dir_fd=descriptor).st_ino for name in os.listdir(descriptor)}
            self._names[status.st_ino] = names
        else:
            self._sizes[status.st_ino] = status.st_size

    def left_of(self, folder: Path) -> dict[str, int]:
        """The files in there and their sizes; `folder` itself must have been there before."""
        return dict(self._left_in(folder.stat().st_ino, ""))

    def _left_in(self, inode: int, above: str) -> Iterator[tuple[str, int]]:
        for name, inside in self._names.get(inode, {}).items():
            if inside in self._sizes:
                yield above + name, self._sizes[inside]
            yield from self._left_in(inside, f"{above}{name}/")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "files"


@pytest.fixture
def blobs(folder: Path) -> DiskBlobStore:
    return DiskBlobStore(folder)


async def test_only_the_owner_can_read_what_is_stored(blobs: DiskBlobStore, folder: Path) -> None:
    await kept(blobs)
    await blobs.stage(in_chunks(CONTENT))

    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")] if path.is_dir()} == {0o700}


async def test_a_blob_lies_under_its_hash(blobs: DiskBlobStore, folder: Path) -> None:
    await kept(blobs)

    assert files_in(folder) == {f"{CONTENT_SHA256[:2]}/{CONTENT_SHA256[2:4]}/{CONTENT_SHA256}"}


@pytest.mark.skipif(sys.platform == "win32", reason="folders are synced on Unix only")
async def test_what_is_staged_or_kept_survives_a_loss_of_power(
    blobs: DiskBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    content = bytes(BLOCK) + CONTENT
    staged = await blobs.stage(in_chunks(content))
    assert disk.left_of(tmp_path) == {f"data/files/staging/{staged.key}": len(content)}

    await blobs.keep(staged)
    place = f"{staged.sha256[:2]}/{staged.sha256[2:4]}/{staged.sha256}"
    assert disk.left_of(tmp_path) == {f"data/files/{place}": len(content)}


async def test_a_full_disk_leaves_nothing_behind_and_the_next_one_is_stored_when_there_is_room(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", mebibytes=4) as small:
        blobs = DiskBlobStore(small / "files")
        await kept(blobs)
        before = files_in(small)
        for size in (5 * MIB, 3 * BLOCK + 1, 64 * MIB):
            with pytest.raises(StorageFull):
                await blobs.stage(in_chunks(bytes(size)))
            assert files_in(small) == before

        assert (await kept(blobs, bytes(3 * MIB))).size == 3 * MIB


async def test_without_any_room_nothing_can_be_stored_and_everything_read(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", mebibytes=4) as small:
        blobs = DiskBlobStore(small / "files")
        staged = await blobs.stage(in_chunks(b"staged in time"))
        await kept(blobs)
        ballast = small / "ballast"
        fill(ballast)
        before = files_in(small)
        with pytest.raises(StorageFull):
            await blobs.stage(in_chunks(CONTENT))
        with pytest.raises(StorageFull):
            await blobs.ping()
        assert files_in(small) == before
        assert await all_of(blobs.read(CONTENT_SHA256)) == CONTENT
        assert await all_of(blobs.read_staged(staged)) == b"staged in time"

        ballast.unlink()

        await blobs.ping()
        await blobs.keep(staged)
        await blobs.stage(in_chunks(CONTENT))


async def test_who_is_slow_to_take_what_is_read_keeps_little_of_it_in_memory(blobs: DiskBlobStore) -> None:
    staged = await blobs.stage(in_chunks(bytes(2 * BLOCK + 1)))
    async with blobs.read_staged(staged) as pieces:
        assert max([len(piece) async for piece in pieces]) <= 256 * 1024


async def test_who_is_cancelled_again_while_a_draft_is_removed_still_leaves_nothing(
    blobs: DiskBlobStore, folder: Path
) -> None:
    waits = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(3 * BLOCK)
        waits.set()
        await asyncio.Event().wait()

    staging = asyncio.create_task(blobs.stage(chunks()))
    await waits.wait()
    for _ in range(3):
        staging.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(staging, return_exceptions=True)
    await asyncio.to_thread(blobs._threads.shutdown)

    assert files_in(folder) == set()


async def test_what_a_process_that_was_killed_had_staged_is_swept(blobs: DiskBlobStore, folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STAGE_AND_DIE, str(folder), cwd=Path.cwd())
    assert await process.wait() == -9
    assert len(files_in(folder)) == 1

    assert await blobs.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await blobs.sweep(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert files_in(folder) == set()


async def test_a_folder_that_can_not_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blobs = DiskBlobStore(tmp_path / "file" / "files")
    for attempt in (blobs.ping(), blobs.stage(in_chunks(CONTENT))):
        with pytest.raises(Unavailable) as refused:
            await attempt
        assert not isinstance(refused.value, StorageFull)


async def test_a_disk_that_can_only_be_read_is_unavailable_for_writing(tmp_path: Path) -> None:
    with small_file_system(tmp_path / "small", mebibytes=4) as small:
        blobs = DiskBlobStore(small / "files")
        staged = await kept(blobs)
        forbid_writing(small)
        for attempt in (blobs.ping(), blobs.stage(in_chunks(CONTENT)), blobs.delete(staged.sha256)):
            with pytest.raises(Unavailable):
                await attempt
        assert await all_of(blobs.read(CONTENT_SHA256)) == CONTENT


async def test_a_disk_that_hangs_is_given_up_and_used_again(
    blobs: DiskBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(blobs)
    hung = "0" * 64
    path = blobs.path_of(hung)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with monkeypatch.context() as impatient:
        impatient.setattr(disk, "WAIT", 0.05)
        with pytest.raises(Unavailable):
            await all_of(blobs.read(hung))

    path.open("wb").close()

    assert await all_of(blobs.read(CONTENT_SHA256)) == CONTENT


async def test_a_stream_that_ends_in_the_middle_of_a_slow_write_leaves_nothing(
    blobs: DiskBlobStore, folder: Path
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(16 * BLOCK)
        raise ConnectionResetError

    for _ in range(5):
        with pytest.raises(ConnectionResetError):
            await blobs.stage(chunks())
    assert files_in(folder) == set()
