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


OK: Final = "ok"


class NotReady(Exception):
    """What is wrong with a part, and what would be right."""


class Note(Exception):
    """What is to be known of a part with which nothing is wrong."""


def is_ok(result: str) -> bool:
    """Whether that is what is said of a part that can be used."""
    return result.partition(" ")[0] == OK


@dataclass(frozen=True)
class Readiness:
    """Checks each part, all at once."""

    checks: Mapping[str, Check]

    async def check(self) -> dict[str, str]:
        """For each part `ok`, perhaps with a note, or what is wrong with it, without any value from the settings."""
        results = await asyncio.gather(*(_result(check) for check in self.checks.values()))
        return dict(zip(self.checks, results, strict=True))


async def _result(check: Check) -> str:
    try:
        async with asyncio.timeout(TIMEOUT):
            await check()
    except TimeoutError:
        return f"no answer within {TIMEOUT:g} s"
    except Note as note:
        return f"{OK} ({note})"
    except (NotReady, Refusal, MailUndelivered, MailRejected) as error:
        return str(error)
    except Exception as error:
        return f"failed ({type(error).__name__})"
    return OK
