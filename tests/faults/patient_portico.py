"""`portico` for a machine that is slow or stands still: `python -m tests.faults.patient_portico serve`.

It gives nobody up for being late who would be on time elsewhere. Apart from that it is `portico`, with the arguments
and the settings from the environment.
"""

import sys
from typing import Final

from adapters.persistence import database

PATIENCE: Final = 120.0
"""Seconds."""

database.WAIT = PATIENCE  # type: ignore[misc]  # before others take it over as they load

from adapters.persistence import postgres  # noqa: E402
from adapters.throttle import moving_window  # noqa: E402
from entrypoints import health, server  # noqa: E402
from entrypoints.cli import main  # noqa: E402
from entrypoints.http import http_protocol  # noqa: E402

for module, name in (
    (postgres, "COMMAND_TIMEOUT"),
    (postgres, "STATEMENT_TIMEOUT"),
    (postgres, "IDLE_TIMEOUT"),
    (moving_window, "REDIS_TIMEOUT_SECONDS"),
    (health, "TIMEOUT"),
    (http_protocol, "LAST_SECONDS"),
    (server, "GRACE_SECONDS"),
    (server, "SILENCE_SECONDS"),
):
    assert hasattr(module, name)
    setattr(module, name, PATIENCE)

if __name__ == "__main__":
    sys.exit(main())
