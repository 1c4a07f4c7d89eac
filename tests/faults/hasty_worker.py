"""A worker whose lease is short, to be killed and paused again and again: `python -m tests.faults.hasty_worker`.

Apart from that it is `portico worker`, with the settings from the environment.
"""

import asyncio
from datetime import timedelta
from typing import Final

from entrypoints.container import Container
from entrypoints.logs import configure_logs
from entrypoints.settings import read_settings
from entrypoints.worker import work

LEASE: Final = timedelta(seconds=6)
POLL: Final = timedelta(seconds=0.2)


def main() -> None:
    settings = read_settings()
    configure_logs(settings.log_format, settings.log_level)
    container = Container(settings=settings)
    worker = container.worker()
    worker.lease, worker.heartbeat, worker.poll = LEASE, LEASE / 3, POLL
    asyncio.run(work(container))


if __name__ == "__main__":
    main()
