"""tus-js-client, the client that browsers use for resumable uploads: installed by npm, run by node."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.npm import HOW_TO_GET, NpmUnavailable, node_modules
from tests.programs import run

PACKAGES: Final = Path(__file__).parent / "clients" / "tus"
SCRIPT: Final = Path(__file__).with_suffix(".js")


@dataclass(frozen=True)
class TusClient:
    """Make it with `installed`."""

    node: str
    packages: Path

    @classmethod
    def installed(cls) -> "TusClient":
        """Raises `NpmUnavailable`."""
        node = shutil.which("node")
        if node is None:
            raise NpmUnavailable(HOW_TO_GET)
        return cls(node, node_modules(PACKAGES))

    async def upload(self, endpoint: str, token: str, file: Path, *, chunk_size: int) -> tuple[str, str]:
        """Upload the file, trying again for five minutes: the id of what it became, and what was answered."""
        output = await run(
            *(self.node, SCRIPT, endpoint, token, file, str(chunk_size)),
            folder=file.parent,
            NODE_PATH=str(self.packages),
        )
        happened, _, file_id = output.rstrip().rpartition("\n")
        return file_id, happened
