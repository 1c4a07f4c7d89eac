"""What the domain announces, named in the past tense.

Fields are plain JSON values, since events are written down; or the thing itself, where its owner is shown what became
of it (see `application.changes`), of which jobs get the id and the owner's.
"""

from dataclasses import dataclass

from domain.files import File
from domain.items import Item
from domain.tasks import Task


@dataclass(frozen=True, slots=True)
class UserRegistered:
    user_id: int


@dataclass(frozen=True, slots=True)
class VerificationRequested:
    """Somebody asked for the verification mail again; whether there is such an account is looked up later."""

    email: str


@dataclass(frozen=True, slots=True)
class PasswordResetRequested:
    """Somebody forgot a password; whether there is such an account is looked up later, so that asking takes the
    same time either way."""

    email: str


@dataclass(frozen=True, slots=True)
class PasswordChanged:
    user_id: int
    email: str
    """The address at that time: whoever takes the account over afterwards must not be the one who is told."""


@dataclass(frozen=True, slots=True)
class EmailChangeRequested:
    user_id: int
    old_email: str
    new_email: str
    password_mark: str
    """`User.password_mark` at that time."""


@dataclass(frozen=True, slots=True)
class EmailChanged:
    user_id: int
    old_email: str
    new_email: str


@dataclass(frozen=True, slots=True)
class EmailRequested:
    """A superuser wants a mail sent to somebody, who need not have an account."""

    email: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class UserPinged:
    user_id: int
    at: str
    """RFC 3339, UTC."""


@dataclass(frozen=True, slots=True)
class UserDeleted:
    user_id: int


@dataclass(frozen=True, slots=True)
class ItemCreated:
    item: Item


@dataclass(frozen=True, slots=True)
class ItemUpdated:
    item: Item


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    item_id: int
    owner_id: int


@dataclass(frozen=True, slots=True)
class FileCreated:
    file: File


@dataclass(frozen=True, slots=True)
class FileDeleted:
    file_id: int
    owner_id: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ContentAbandoned:
    """Bytes of this hash may have been used for the last time: what claimed or referred to them came to nothing."""

    sha256: str


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """Somebody wants it done; a worker takes it up."""

    task_id: str
    owner_id: int


@dataclass(frozen=True, slots=True)
class TaskUpdated:
    """It began, went on, or ended. While it goes on, this is announced about once a second at most."""

    task: Task


Event = (
    UserRegistered
    | VerificationRequested
    | PasswordResetRequested
    | PasswordChanged
    | EmailChangeRequested
    | EmailChanged
    | EmailRequested
    | UserPinged
    | UserDeleted
    | ItemCreated
    | ItemUpdated
    | ItemDeleted
    | FileCreated
    | FileDeleted
    | ContentAbandoned
    | TaskStarted
    | TaskUpdated
)
