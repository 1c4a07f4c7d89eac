"""A server that waits longer for Redis, so that what several processes count is exact: `… patient_server serve`.

Apart from that it is `portico`, with the arguments and the settings from the environment.
"""

from adapters.throttle import moving_window
from entrypoints.cli import main

moving_window.REDIS_TIMEOUT_SECONDS = 10  # type: ignore[misc]

if __name__ == "__main__":
    main()
