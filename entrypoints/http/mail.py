"""Mail that a superuser writes, over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AfterValidator, Field

from application.mail import SendEmail
from domain.errors import TooManyAttempts
from domain.mail import LONGEST_MESSAGE, LONGEST_SUBJECT, valid_message, valid_subject
from domain.users import NotEnoughPrivileges
from entrypoints.http.bodies import Route
from entrypoints.http.dependencies import CurrentActor, use
from entrypoints.http.documentation import SIGNED_IN, Acknowledgement, errors
from entrypoints.http.fields import EmailField, RequestModel, Text
from entrypoints.http.idempotency import IDEMPOTENT, REPLAYED, Once

router = APIRouter(tags=["mail"], route_class=Route)

Subject = Annotated[
    Text,
    AfterValidator(valid_subject),
    Field(
        examples=["Maintenance tonight"],
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_SUBJECT, "pattern": r"\S"},
    ),
]
MessageText = Annotated[
    Text,
    AfterValidator(valid_message),
    Field(
        examples=["We will be back at ten."],
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_MESSAGE, "pattern": r"\S"},
    ),
]


class MessageBody(RequestModel):
    email: EmailField
    subject: Subject
    message: MessageText


@router.post(
    "/send-email",
    status_code=202,
    response_model=Acknowledgement,
    responses=errors(*SIGNED_IN, NotEnoughPrivileges, TooManyAttempts, *IDEMPOTENT, json_body=True, idempotent=True)
    | {202: {"headers": REPLAYED}},
)
async def send_email(
    *, actor: CurrentActor, body: MessageBody, send: Annotated[SendEmail, use("send_email")], once: Once
) -> Response:
    """Write a mail to any address. For superusers."""

    def answer(_: None) -> Response:
        text = Acknowledgement(message="Email will be sent in background").model_dump_json()
        return Response(text, 202, media_type="application/json")

    return await once(
        lambda also: send(actor, email=body.email, subject=body.subject, message=body.message, also=also), answer
    )
