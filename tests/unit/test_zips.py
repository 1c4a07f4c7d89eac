"""A zip that is written while it is read: what is in it, and that there is no limit to it."""

import asyncio
import io
import time
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone

import pytest

from application.ports.storage import BlobMissing
from application.zips import LEVEL, SMALL, Entry, zipped

NOON = datetime(2026, 3, 1, 12, 30, 58, tzinfo=UTC)
TEXT = b"".join(b"%d: the Analytical Engine weaves algebraical patterns\n" % (n * n) for n in range(200))


def an_entry(name: str, *pieces: bytes, at: datetime = NOON, missing: bool = False) -> Entry:
    @asynccontextmanager
    async def content() -> AsyncIterator[AsyncIterator[bytes]]:
        async def in_pieces() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        if missing:
            raise BlobMissing
        yield in_pieces()

    return Entry(name, at, content())


async def pieces_of(*entries: Entry) -> Sequence[bytes]:
    async def one_by_one() -> AsyncIterator[Entry]:
        for entry in entries:
            yield entry

    return [piece async for piece in zipped(one_by_one())]


def opened(pieces: Sequence[bytes]) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(pieces)))


async def test_everything_is_in_it_but_what_is_gone() -> None:
    entries = (
        an_entry("a.txt", b"te", b"a"),
        an_entry("gone.txt", missing=True),
        an_entry("b/Zoë 🥛.txt"),
        an_entry("a"),
    )
    archive = opened(await pieces_of(*entries))
    assert archive.testzip() is None
    assert {name: archive.read(name) for name in archive.namelist()} == {"a.txt": b"tea", "b/Zoë 🥛.txt": b"", "a": b""}


async def test_a_zip_of_nothing_is_one() -> None:
    assert opened(await pieces_of()).namelist() == []


async def test_it_is_packed_fast_rather_than_small() -> None:
    (info,) = opened(await pieces_of(an_entry("a.txt", TEXT))).infolist()
    fast, small = (len(zlib.compress(TEXT, level, -zlib.MAX_WBITS)) for level in (LEVEL, 9))
    assert (info.compress_type, info.file_size, info.compress_size) == (zipfile.ZIP_DEFLATED, len(TEXT), fast)
    assert small < fast


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
@pytest.mark.parametrize("hours", [-8, 0, 5.5])
async def test_times_are_those_of_utc_wherever_it_is_packed(hours: float) -> None:
    at = NOON.astimezone(timezone(timedelta(hours=hours)))
    (info,) = opened(await pieces_of(an_entry("a.txt", at=at))).infolist()
    assert info.date_time == (2026, 3, 1, 12, 30, 58)


async def test_whoever_unpacks_it_on_unix_can_read_it_alone() -> None:
    (info,) = opened(await pieces_of(an_entry("a.txt"))).infolist()
    assert info.external_attr >> 16 == 0o600


async def test_a_file_may_be_larger_than_old_zips_could_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", len(TEXT) - 1)
    assert opened(await pieces_of(an_entry("a.txt", TEXT))).read("a.txt") == TEXT


def test_large_pieces_are_packed_like_small_ones() -> None:
    large = bytes(SMALL + 1)
    pieces = asyncio.run(pieces_of(an_entry("a.txt", b"small", large, b"small again")))  # packed in a thread
    assert opened(pieces).read("a.txt") == b"small" + large + b"small again"


async def test_it_comes_while_it_is_packed() -> None:
    assert len(await pieces_of(*(an_entry(f"{number}.txt", TEXT) for number in range(5)))) > 5
