"""The file that SQLite keeps a database in, and how Portico connects to it."""

import sqlite3
import time
from pathlib import Path
from typing import Final

from adapters.persistence.database import WAIT

WAL_PAUSE: Final = 0.01


def path_of(url: str) -> Path:
    """The file that a URL such as `sqlite:////var/lib/portico/portico.db` names; all that follows is its name."""
    return Path(url.removeprefix("sqlite:///"))


def connect(path: Path) -> sqlite3.Connection:
    """A connection as Portico uses it. FULL, since NORMAL may lose acknowledged commits when the power fails.

    A folder that is not there is made. Raises `OSError` if it can't be, and what SQLite raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Several processes may open a new file at once; SQLite doesn't wait for the lock that the switch takes."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(WAL_PAUSE)
        else:
            return
