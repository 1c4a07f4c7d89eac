"""The files, as they are kept."""

from collections.abc import Sequence
from typing import Protocol

from domain.files import File


class Files(Protocol):
    """The files, inside a transaction. `get` keeps others from changing the row until it ends."""

    async def used_by(self, owner_id: int, *, but: str = "") -> int:
        """The bytes that the files of that user take, and what came of unfinished resumable uploads, but for that one:
        whoever finishes it counts it as a file. Until this transaction ends, nobody else who asks gets an answer: of
        several uploads at once, each counts those before it.

        Raises `InvalidAccessToken` if the user is gone.
        """

    async def add(self, file: File) -> File:
        """Store a new file and give it its id. Its owner can't be deleted until this transaction ends, and its bytes
        must be claimed.

        Raises `InvalidAccessToken` if the owner is gone.
        """

    async def get(self, file_id: int) -> File:
        """Raises `FileNotFound`."""

    async def delete(self, file_id: int) -> None: ...

    async def delete_owned_by(self, user_id: int, *, limit: int) -> Sequence[File]:
        """Remove up to `limit` files of that user; which those were."""
