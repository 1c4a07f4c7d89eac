"""Files, and the bytes they refer to, in memory. Entities are copied on their way in and out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from application.ports.persistence.blobs import BeingDeleted
from domain.files import Claim, Doom, File, FileId, FileNotFound
from domain.pages import Page, PageRequest
from domain.sessions import InvalidAccessToken
from tests.fakes.repositories import Tables


@dataclass
class InMemoryFiles:
    tables: Callable[[], Tables]

    async def used_by(self, owner_id: int, *, but: str = "") -> int:
        if owner_id not in self.tables().users:
            raise InvalidAccessToken
        return bytes_of(self.tables(), owner_id, but=but)

    async def add(self, file: File) -> File:
        if file.owner_id not in self.tables().users:
            raise InvalidAccessToken
        assert file.sha256 in self.tables().blobs, "its bytes are not claimed"
        added = replace(file, id=FileId(next(self.tables().file_ids)))
        self.tables().files[added.id] = added
        return replace(added)

    async def get(self, file_id: int) -> File:
        if file_id not in self.tables().files:
            raise FileNotFound
        return replace(self.tables().files[file_id])

    async def delete(self, file_id: int) -> None:
        self.tables().files.pop(file_id, None)
        self.tables().imports.pop(file_id, None)

    async def delete_owned_by(self, user_id: int, *, limit: int) -> Sequence[File]:
        removed = owned(self.tables(), user_id)[:limit]
        for file in removed:
            await self.delete(file.id)
        return removed


@dataclass
class InMemoryBlobs:
    tables: Callable[[], Tables]
    now: Callable[[], datetime]

    async def claim(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._must_not_be_doomed(claim.sha256)
            self.tables().dooms.pop(claim.sha256, None)
            self.tables().blobs[claim.sha256] = claim.size
            self.tables().claims[claim.id] = claim

    async def release(self, claims: Sequence[Claim]) -> int:
        return sum(self.tables().claims.pop(claim.id, None) is not None for claim in claims)

    async def doom(self, sha256: str, *, claimed_before: datetime, lease: timedelta) -> Doom | None:
        tables = self.tables()
        if sha256 not in unused(tables, claimed_before):
            return None
        self._must_not_be_doomed(sha256)
        tables.claims = {key: claim for key, claim in tables.claims.items() if claim.sha256 != sha256}
        tables.dooms[sha256] = Doom(sha256, until=_milliseconds(self.now() + lease))
        return tables.dooms[sha256]

    async def forget(self, doom: Doom) -> bool:
        tables = self.tables()
        if tables.dooms.get(doom.sha256) != doom:
            return False
        assert all(source != doom.sha256 for source, _ in tables.thumbnails), "it still has thumbnails"
        del tables.dooms[doom.sha256], tables.blobs[doom.sha256]
        return True

    def _must_not_be_doomed(self, sha256: str) -> None:
        """Raises `BeingDeleted`."""
        doom = self.tables().dooms.get(sha256)
        if doom is not None and doom.until > _milliseconds(self.now()):
            raise BeingDeleted


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def owned(tables: Tables, owner_id: int) -> list[File]:
    """That user's files, newest first."""
    files = sorted(tables.files.values(), key=lambda file: file.id, reverse=True)
    return [replace(file) for file in files if file.owner_id == owner_id]


def bytes_of(tables: Tables, owner_id: int, *, but: str = "") -> int:
    """What that user's files and unfinished uploads take, but for that one."""
    unfinished = [upload for upload in tables.uploads.values() if upload.file_id is None and upload.id != but]
    received = sum(upload.offset for upload in unfinished if upload.owner_id == owner_id)
    return sum(file.size for file in owned(tables, owner_id)) + received


def unused(tables: Tables, claimed_before: datetime) -> list[str]:
    """Hashes that nothing refers to, without a claim as young as that, in order."""
    used = {file.sha256 for file in tables.files.values()}
    used |= {thumbnail.sha256 for thumbnail in tables.thumbnails.values()}
    used |= {claim.sha256 for claim in tables.claims.values() if claim.claimed_at >= claimed_before}
    return sorted(tables.blobs.keys() - used)


def page_of_files(files: Sequence[File], request: PageRequest) -> Page[File]:
    """That page of these files."""
    rest = files[request.skip :]
    if request.after is not None:
        after = request.after
        rest = [file for file in files if (file.id,) < after]
    page = rest[: request.limit]
    return Page(
        page,
        total=len(files) if request.after is None else None,
        next_key=(page[-1].id,) if len(rest) > len(page) > 0 else None,
    )
