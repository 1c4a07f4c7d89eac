"""Whether the parts that the settings name can be used: asked by `/health/ready` and by `portico check`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from application.ports.mail import MailRejected, MailUndelivered
from domain.errors import Refusal

TIMEOUT: Final = 3.0
"""Seconds that one part may take to answer."""

Check = Callable[[], Awaitable[None]]
"""Returns if the part can be used; raises an exception whose text may be shown if not."""


class NotReady(Exception):
    """What is wrong with a part, and what would be right."""


@dataclass(frozen=True)
class Readiness:
    """Checks each part, all at once."""

    checks: Mapping[str, Check]

    async def check(self) -> dict[str, str]:
        """For each part `ok`, or what is wrong with it, without any value from the settings."""
        results = await asyncio.gather(*(_result(check) for check in self.checks.values()))
        return dict(zip(self.checks, results, strict=True))


async def _result(check: Check) -> str:
    try:
        async with asyncio.timeout(TIMEOUT):
            await check()
    except TimeoutError:
        return f"no answer within {TIMEOUT:g} s"
    except (NotReady, Refusal, MailUndelivered, MailRejected) as error:
        return str(error)
    except Exception as error:
        return f"failed ({type(error).__name__})"
    return "ok"
