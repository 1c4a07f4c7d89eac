"""Honest fakes: what the ports promise, in memory. They pass the contract suites."""

from tests.fakes.images import PretendedImages
from tests.fakes.jobs import InMemoryJobs
from tests.fakes.partner import FakePartner
from tests.fakes.parts import CountingThrottle, FakeTokens, RecordingMailer, SequentialSecrets, SettableClock
from tests.fakes.passwords import FixedBreachedPasswords, PlainHasher, plain_hash
from tests.fakes.persistence import InMemoryStore
from tests.fakes.storage import InMemoryBlobStore

__all__ = [
    "CountingThrottle",
    "FakePartner",
    "FakeTokens",
    "FixedBreachedPasswords",
    "InMemoryBlobStore",
    "InMemoryJobs",
    "InMemoryStore",
    "PlainHasher",
    "PretendedImages",
    "RecordingMailer",
    "SequentialSecrets",
    "SettableClock",
    "plain_hash",
]
