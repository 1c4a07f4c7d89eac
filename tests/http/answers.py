"""What tests ask about answers, and about what follows from them."""

import asyncio
from email.message import EmailMessage
from typing import Any

from tests.running_app import DEADLINE, RunningApp


def outcome(response: Any) -> tuple[int, str]:
    """The status and the code of an error."""
    return response.status_code, response.json()["code"]


def without_request_id(response: Any) -> dict[str, Any]:
    """The body, but for what differs between any two answers."""
    return {name: value for name, value in response.json().items() if name != "request_id"}


def text_of(mail: EmailMessage) -> str:
    """What it says in plain text."""
    part = mail.get_body(("plain",))
    assert part is not None
    text: str = part.get_content()
    return text


async def work_done(app: RunningApp) -> None:
    """Return once all that was written down for the background has been done, and what is scheduled rests."""
    queue = app.container.job_queue()
    async with asyncio.timeout(DEADLINE):
        while (figures := await queue.figures()).depth or figures.running or figures.retrying:  # noqa: ASYNC110 - jobs
            await asyncio.sleep(0.02)
