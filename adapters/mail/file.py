"""Mail into a folder: for development, and wherever something else collects it."""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from urllib.parse import quote

from adapters.mail.message import MessageWriter, as_bytes
from application.ports.mail import Mail, MailUndelivered


@dataclass(frozen=True)
class FileMailer:
    """Keeps each mail as an `.eml` file that only the owner can read, named by time (UTC) and id.

    The same mail again replaces its file. The folder is made when it is needed.
    """

    writer: MessageWriter
    folder: Path
    _one_at_a_time: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    async def send(self, mail: Mail) -> None:
        """Returns once the file is on the disk, whole. Raises `MailRejected` or `MailUndelivered`."""
        await asyncio.to_thread(self._keep, mail)

    def _keep(self, mail: Mail) -> None:
        content = as_bytes(self.writer.write(mail))
        try:
            with self._one_at_a_time:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _replace(self._path(mail), content)
        except OSError as error:
            raise MailUndelivered(f"the mail could not be written to {self.folder}: {error.strerror}") from None

    def _path(self, mail: Mail) -> Path:
        """Where this mail is kept already, or else where a new one goes."""
        ending = f"{quote(mail.id, safe='')}.eml"
        for path in self.folder.glob("*.eml"):
            if path.name.partition("-")[2] == ending:
                return path
        return self.folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{ending}"


def _replace(path: Path, content: bytes) -> None:
    """Write the file so that it is there whole or not at all, whatever happens in between."""
    with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError:
            with suppress(OSError):
                Path(file.name).unlink()
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
