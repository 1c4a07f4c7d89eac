"""The secret that is made once where none is set."""

import os
import secrets
from pathlib import Path


def generated_secret(path: Path) -> bytes:
    """The secret in this file, in 64 hexadecimal digits; made now if there is none. Readable by its owner only.

    Processes that start at once agree on one: a file that is whole is linked into place, and the first one stays.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secrets.token_hex(32).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_bytes()
