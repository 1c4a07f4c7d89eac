"""The types of fields in requests."""

from itertools import islice
from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from domain.ids import GREATEST_ID, id_in
from domain.passwords import Password, WeakPassword
from domain.users import LONGEST_FULL_NAME, Email, valid_full_name
from entrypoints.http.errors import MOST_FIELDS

LONGEST_ADDRESS: Final = 1000
"""Characters before it is composed."""


class RequestModel(BaseModel):
    """A body: nothing in it that isn't known, nothing taken for another type."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_a_flood(cls, value: Any) -> Any:
        """Of the fields that aren't known only as many as are listed: each costs more than reading it."""
        if not isinstance(value, dict) or len(value) <= MOST_FIELDS:
            return value
        known = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = islice((name for name in value if name not in known), MOST_FIELDS)
        return {name: value[name] for name in (*(known & value.keys()), *unknown)}


def not_null(value: bool | None) -> bool:
    """For a field that may be left out, but can't be set to null."""
    if value is None:
        raise PydanticCustomError("bool_type", "Input should be a valid boolean")
    return value


def _text(value: Any) -> Any:
    if isinstance(value, str):
        if "\0" in value:
            raise PydanticCustomError("text_with_nul", "Text must not contain the character NUL")
        try:
            value.encode()
        except UnicodeEncodeError:
            message = "Text must be valid Unicode, without lone surrogates"
            raise PydanticCustomError("text_with_surrogate", message) from None
    return value


Text = Annotated[str, BeforeValidator(_text)]
"""Any Unicode but NUL and lone surrogates."""


PersonName = Annotated[
    Text,
    AfterValidator(valid_full_name),
    Field(
        examples=["Ada Lovelace"],
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_FULL_NAME, "pattern": r"\S"},
    ),
]


def parse_email(text: str) -> Email:
    """The address, if its syntax is valid (RFC 5321, RFC 6531). Raises `ValueError`."""
    from email_validator import validate_email  # takes a while to load

    try:
        if len(text) > LONGEST_ADDRESS:
            raise ValueError("too long to be looked at")
        return Email(validate_email(text, check_deliverability=False, strict=True).normalized)
    except ValueError:
        raise ValueError("must be an email address, such as ada@example.org") from None


def _email(value: Any) -> Email:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "Input should be a valid string")
    try:
        return parse_email(value)
    except ValueError as error:
        raise PydanticCustomError("email", "{reason}", {"reason": str(error).capitalize()}) from None


EmailField = Annotated[
    Any,
    BeforeValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 254, "examples": ["ada@example.org"]}),
]
"""An address of valid syntax (RFC 5321, RFC 6531), as an `Email`."""


def _as_password(value: Any) -> Password:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "Input should be a valid string")
    return Password(_text(value))


def _as_new_password(value: Any) -> Password:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "Input should be a valid string")
    try:
        return Password.chosen(_text(value))
    except WeakPassword as weak:
        raise PydanticCustomError("weak_password", "{reason}", {"reason": str(weak)}) from None


_PASSWORD_SCHEMA: Final = {"type": "string", "format": "password", "examples": ["Correct-Horse-42"]}

PasswordField = Annotated[Any, BeforeValidator(_as_password), WithJsonSchema(_PASSWORD_SCHEMA)]
"""A password to be compared, as a `Password`."""

NewPasswordField = Annotated[
    Any,
    BeforeValidator(_as_new_password),
    WithJsonSchema(
        {
            **_PASSWORD_SCHEMA,
            "minLength": 8,
            "maxLength": 100,
            "description": "8 to 100 characters with an upper-case letter, a lower-case letter and a digit.",
        }
    ),
]
"""A password to be set, as a `Password` that keeps the rules."""


def parse_id(value: Any) -> int:
    """The id of a user, item or file, as a path or a query writes it."""
    id_ = id_in(value) if isinstance(value, str) else None
    if id_ is None:
        raise PydanticCustomError("id", "Must be an integer from 1 to 9223372036854775807")
    return id_


_ID_SCHEMA: Final[dict[str, Any]] = {"type": "integer", "minimum": 1, "maximum": GREATEST_ID, "format": "int64"}

IdInPath = Annotated[int, BeforeValidator(parse_id), Path(examples=[1], json_schema_extra=_ID_SCHEMA)]
"""The id of a user, item or file in a path."""

IdInQuery = Annotated[int, BeforeValidator(parse_id), WithJsonSchema(_ID_SCHEMA)]
"""The same in a query."""

MailedTokenField = Annotated[Text, Field(min_length=1, max_length=512, examples=["mFz0…"])]
