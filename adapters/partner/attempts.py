"""How an attempt to ask the partner can fail so that another one may do better."""

from domain.partner import ExternalApiError


class Failed(Exception):
    """It is worth trying again, if there is time.

    `answer` is what the partner said, if it said anything; `pause` are the seconds it wants to be left alone for.
    """

    again = True

    def __init__(self, answer: ExternalApiError | None = None, pause: float = 0) -> None:
        super().__init__(answer, pause)
        self.answer = answer
        self.pause = pause


class Broken(Failed):
    """The partner doesn't work: it is away, silent or talks nonsense, or says so itself (a 5xx)."""


class Hurried(Failed):
    """There was no answer, but most of the time had gone before it was asked: that says nothing of the partner."""


class Endless(Broken):
    """It sends more than anyone asked for, and would again."""

    again = False
