"""The uploads in several requests, as they are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.resumable import ResumableUpload, UploadPart


class ResumableUploads(Protocol):
    """The uploads that are sent in several requests, inside a transaction, with their parts.

    `get` keeps others from changing the upload until it ends. Whoever also asks `Files.used_by` does that first.
    """

    async def add(self, upload: ResumableUpload) -> None:
        """Store a new upload. Its owner can't be deleted until this transaction ends.

        Raises `InvalidAccessToken` if the owner is gone.
        """

    async def get(self, upload_id: str) -> tuple[ResumableUpload, int]:
        """With the number of its parts. Raises `UploadNotFound`."""

    async def save(self, upload: ResumableUpload) -> None:
        """Write its offset and what became of it back."""

    async def add_parts(self, upload_id: str, parts: Sequence[UploadPart]) -> None: ...

    async def remove_parts(self, upload_id: str) -> None: ...

    async def delete(self, upload_id: str) -> Sequence[UploadPart]:
        """Remove it; the parts it had."""

    async def delete_owned_by(self, user_id: int, *, limit: int) -> tuple[int, Sequence[UploadPart]]:
        """Remove up to `limit` uploads of that user; how many there were, and the parts they had."""

    async def sweep(self, created_before: datetime, *, limit: int) -> tuple[int, Sequence[UploadPart]]:
        """Remove up to `limit` uploads created at that time or earlier; likewise."""
