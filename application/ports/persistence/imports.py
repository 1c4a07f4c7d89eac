"""How far files have been imported, as it is kept."""

from typing import Protocol

from domain.imports import Import


class Imports(Protocol):
    """How far files have been imported, inside a transaction. `get` keeps others away from it until that ends."""

    async def get(self, file_id: int) -> Import:
        """A new one, if nothing of that file has been imported."""

    async def save(self, state: Import) -> None: ...
