"""Resumable uploads in memory. Entities are copied on their way in and out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.resumable import ResumableUpload, UploadNotFound, UploadPart
from domain.sessions import InvalidAccessToken
from tests.fakes.repositories import Tables


@dataclass
class InMemoryResumableUploads:
    tables: Callable[[], Tables]

    async def add(self, upload: ResumableUpload) -> None:
        if upload.owner_id not in self.tables().users:
            raise InvalidAccessToken
        self.tables().uploads[upload.id] = replace(upload)
        self.tables().upload_parts[upload.id] = ()

    async def get(self, upload_id: str) -> tuple[ResumableUpload, int]:
        return found_upload(self.tables(), upload_id), len(self.tables().upload_parts[upload_id])

    async def save(self, upload: ResumableUpload) -> None:
        if upload.id in self.tables().uploads:
            self.tables().uploads[upload.id] = replace(upload)

    async def add_parts(self, upload_id: str, parts: Sequence[UploadPart]) -> None:
        had = self.tables().upload_parts[upload_id]
        self.tables().upload_parts[upload_id] = (*had, *parts)

    async def remove_parts(self, upload_id: str) -> None:
        if upload_id in self.tables().uploads:
            self.tables().upload_parts[upload_id] = ()

    async def delete(self, upload_id: str) -> Sequence[UploadPart]:
        self.tables().uploads.pop(upload_id, None)
        return self.tables().upload_parts.pop(upload_id, ())

    async def delete_owned_by(self, user_id: int, *, limit: int) -> tuple[int, Sequence[UploadPart]]:
        return await self._delete_all(lambda upload: upload.owner_id == user_id, limit)

    async def sweep(self, created_before: datetime, *, limit: int) -> tuple[int, Sequence[UploadPart]]:
        return await self._delete_all(lambda upload: upload.created_at <= created_before, limit)

    async def _delete_all(
        self, chosen: Callable[[ResumableUpload], bool], limit: int
    ) -> tuple[int, Sequence[UploadPart]]:
        found = [upload.id for upload in self.tables().uploads.values() if chosen(upload)][:limit]
        return len(found), [part for upload_id in found for part in await self.delete(upload_id)]


def found_upload(tables: Tables, upload_id: str) -> ResumableUpload:
    """Raises `UploadNotFound`."""
    if upload_id not in tables.uploads:
        raise UploadNotFound
    return replace(tables.uploads[upload_id])
