"""The kinds of refusal. Each noun derives its own from these; the entrypoint maps the kind to a status."""

from typing import ClassVar


class Refusal(Exception):
    """What Portico will not do, in words for the person who asked.

    `code` is stable and meant for programs; `message` is meant for people. Neither ever holds a value from the request.
    What `str` says may be more exact than `message`: it may name a limit, or the extension of a file's name.
    """

    code: ClassVar[str]
    message: ClassVar[str]

    def __str__(self) -> str:
        return self.message


class Invalid(Refusal):
    """A value that breaks a rule."""


class Unauthenticated(Refusal):
    """Nobody, or nobody we can believe, is asking."""


class Forbidden(Refusal):
    """We know who is asking, and they may not."""


class NotFound(Refusal):
    """There is no such thing, or none that the one who asks may know of."""


class Conflict(Refusal):
    """It would contradict what is already so."""


class PreconditionFailed(Refusal):
    """It is not as the one who asks demands it to be."""


class UpstreamError(Refusal):
    """A service that we depend on answered, but with an error. `upstream_status` is the HTTP status it gave."""

    def __init__(self, upstream_status: int) -> None:
        super().__init__(upstream_status)
        self.upstream_status = upstream_status


class TooLarge(Refusal):
    """More than is allowed, or than there is still room for."""


class UnsupportedType(Refusal):
    """Something of a kind that isn't taken here."""


class Unavailable(Refusal):
    """A part that is needed can't be reached now; the same request may succeed later."""

    code = "unavailable"
    message = "The service is temporarily unavailable. Please try again shortly"
    retry_after = 5


class TooManyAttempts(Refusal):
    """A throttle is exhausted. `retry_after` is in whole seconds, 1 or more."""

    code = "too_many_attempts"
    message = "Too many attempts. Please wait before trying again"

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = max(1, retry_after)
