"""The three pages behind the links in mails: plain HTML that needs no script and loads nothing.

Opening a link changes nothing and spends nothing; only the form on its page does, which posts to the page's own path.
Whatever goes wrong is answered with a page, too.
"""

import asyncio
import base64
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from application.email_addresses import ChangeEmail, VerifyEmail
from application.mailed_tokens import CheckMailedToken
from application.passwords import ResetPassword
from domain.errors import Unavailable
from domain.mailed_tokens import InvalidMailedToken, Purpose
from domain.passwords import LONGEST, SHORTEST, Password, PasswordTooCommon, WeakPassword
from domain.users import EmailTaken, UserNotFound
from entrypoints.http.bodies import chunks_of, is_encoded, media_type
from entrypoints.http.dependencies import use
from entrypoints.http.errors import RequestError
from entrypoints.http.observation import log

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_FORM_BYTES: Final = 16 * 1024
FORM_SECONDS: Final = 10.0
"""How long the body of a form may take to arrive."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,512}")
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


class _FormRefused(Exception):
    """A form that can't be read, or that another site sent."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class _Look:
    """The templates, and the headers under which their pages may be shown."""

    templates: "Environment"
    headers: Mapping[str, str]


@cache
def _look() -> _Look:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # few processes show a page

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    stylesheet = templates.get_template("portico.css").render()
    digest = base64.b64encode(hashlib.sha256(stylesheet.encode()).digest()).decode()
    policy = (
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "X-Robots-Tag": "noindex",
    }
    return _Look(templates, headers)


def _render(template: str, status: int, values: Mapping[str, object]) -> HTMLResponse:
    look = _look()
    return HTMLResponse(look.templates.get_template(template).render(values), status, look.headers)


async def _page(request: Request, name: str, status: int = 200, /, **values: object) -> HTMLResponse:
    project_name = request.app.state.container.settings().project_name
    # In a thread, since the first page imports Jinja2 and reads the templates.
    return await asyncio.to_thread(_render, f"{name}.html", status, {"project_name": project_name, **values})


def _named(purpose: Purpose) -> str:
    """How the templates of the pages for that purpose begin."""
    return purpose.replace("-", "_")


def _lifetime(purpose: Purpose) -> str:
    hours = purpose.lifetime // timedelta(hours=1)
    return "one hour" if hours == 1 else f"{hours} hours"


class _PageRoute(APIRoute):
    """Answers a refusal, and what fails, with a page that says what to do next."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        purpose = Purpose(self.path.rpartition("/")[2])

        async def answer_with_a_page(request: Request) -> Response:
            try:
                return await answer(request)
            except (InvalidMailedToken, UserNotFound):
                return await _page(request, f"{_named(purpose)}_invalid", 400, lifetime=_lifetime(purpose))
            except EmailTaken:
                return await _page(request, "change_email_taken", 409)
            except _FormRefused as refusal:
                return await _page(request, "form_refused", refusal.status)
            except Unavailable as error:
                page = await _page(request, "unavailable", 503)
                page.headers["Retry-After"] = str(error.retry_after)
                return page
            except Exception as error:
                log.error("request failed", exc_info=error)
                return await _page(request, "unavailable", 500)

        return answer_with_a_page


router = APIRouter(include_in_schema=False, route_class=_PageRoute)

Check = Annotated[CheckMailedToken, use("check_mailed_token")]


@router.get("/verify-email")
async def ask_to_verify_email(request: Request, check: Check) -> HTMLResponse:
    return await _ask(request, check, Purpose.VERIFY_EMAIL, _token_of_link(request))


@router.post("/verify-email")
async def verify_email(request: Request, verify: Annotated[VerifyEmail, use("verify_email")]) -> HTMLResponse:
    form = await _read_form(request)
    await verify(_token(form["token"]))
    return await _page(request, "verify_email_done")


@router.get("/reset-password")
async def ask_for_new_password(request: Request, check: Check) -> HTMLResponse:
    return await _ask(request, check, Purpose.RESET_PASSWORD, _token_of_link(request), **_password_rules())


@router.post("/reset-password")
async def reset_password(
    request: Request, check: Check, reset: Annotated[ResetPassword, use("reset_password")]
) -> HTMLResponse:
    form = await _read_form(request)
    token = _token(form["token"])
    try:
        await reset(token=token, new=_chosen_password(form["new_password"]))
    except (WeakPassword, PasswordTooCommon) as error:
        rules = _password_rules(error=f"{error}.")
        # Looked up again, since nobody should try again with a link that is dead.
        return await _ask(request, check, Purpose.RESET_PASSWORD, token, 422, **rules)
    return await _page(request, "reset_password_done")


@router.get("/change-email")
async def ask_to_change_email(request: Request, check: Check) -> HTMLResponse:
    return await _ask(request, check, Purpose.CHANGE_EMAIL, _token_of_link(request))


@router.post("/change-email")
async def change_email(request: Request, change: Annotated[ChangeEmail, use("change_email")]) -> HTMLResponse:
    form = await _read_form(request)
    await change(_token(form["token"]))
    return await _page(request, "change_email_done")


async def _ask(
    request: Request, check: CheckMailedToken, purpose: Purpose, token: str, status: int = 200, /, **values: object
) -> HTMLResponse:
    """The page with the form, which names the address that the link was mailed to. Raises `InvalidMailedToken`."""
    stored = await check(token, purpose)
    return await _page(request, _named(purpose), status, token=token, email=stored.email, **values)


def _password_rules(error: str | None = None) -> dict[str, object]:
    return {"shortest": SHORTEST, "longest": LONGEST, "error": error}


def _chosen_password(texts: Sequence[str]) -> Password:
    """Raises `WeakPassword`."""
    return Password.chosen(texts[0] if len(texts) == 1 else "")


def _token_of_link(request: Request) -> str:
    """Raises `InvalidMailedToken`."""
    return _token(request.query_params.getlist("token"))


def _token(texts: Sequence[str]) -> str:
    """The token of a link. Raises `InvalidMailedToken` unless there is one, and only one, that could be one."""
    if len(texts) != 1 or not _TOKEN.fullmatch(texts[0]):
        raise InvalidMailedToken
    return texts[0]


async def _read_form(request: Request) -> Mapping[str, Sequence[str]]:
    """All values of each field of a url-encoded form; none of an absent one. Raises `_FormRefused`."""
    if request.headers.get("sec-fetch-site") == "cross-site":
        raise _FormRefused(403)
    if media_type(request) != _FORM_TYPE or is_encoded(request):
        raise _FormRefused(415)
    chunks = chunks_of(request.stream(), idle=FORM_SECONDS, in_all=FORM_SECONDS, most=MAX_FORM_BYTES)
    try:
        body = b"".join([chunk async for chunk in chunks])
        fields = parse_qs(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=8
        )
        return defaultdict(list, fields)
    except RequestError as error:
        raise _FormRefused(error.status_code) from None
    except ValueError:
        raise _FormRefused(400) from None
