"""What tests start from: people, sessions and every use case, on parts in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from application.activity import Activity
from application.changes import RemoveChangesOfUser
from application.collecting import CollectBlob, SweepBlobs
from application.email_addresses import ChangeEmail, RequestEmailChange, ResendVerification, VerifyEmail
from application.exports import ExportAccount
from application.files import DeleteFile, RemoveFilesOfUser
from application.images import LookAtImage, StoreImage
from application.imports import ImportItems
from application.items import RemoveItemsOfUser
from application.jobs import Handler, Worker
from application.mail import (
    MailEmailChange,
    MailLink,
    MailMessage,
    MailNotice,
    MailPasswordReset,
    MailVerification,
    MailVerificationAgain,
    SendEmail,
)
from application.mailed_tokens import CheckMailedToken, RedeemMailedToken
from application.passwords import ChangePassword, ConfirmPassword, ForgotPassword, HashNewPassword, ResetPassword
from application.ports.jobs import Job
from application.ports.mail import Letter, Mail
from application.ports.storage import Staged
from application.resumable import GetResumableUpload, ReceiveUpload
from application.resumable_creation import BeginUpload, CreateResumableUpload
from application.resumable_removal import RemoveUploadsOfUser, SweepResumableUploads, TerminateUpload
from application.sessions import Authenticate, Device, IssueTokens, RefreshSession, SignIn, TokenPair
from application.sweeping import SweepExpired
from application.task_runs import RunTask
from application.tasks import RemoveTasksOfUser, SettleTasks, StartTask
from application.thumbnails import MakeThumbnail, OpenThumbnail
from application.uploads import KeepDrafts, KeepStaged, StageDrafts, StageUpload, StoreFiles
from application.users import DeleteOwnAccount, RecordActivity, RegisterUser
from domain.files import Claim
from domain.passwords import Password
from domain.users import Actor, Email, User
from tests.fakes import (
    CountingThrottle,
    FakeTokens,
    FixedBreachedPasswords,
    InMemoryBlobStore,
    InMemoryStore,
    PlainHasher,
    PretendedImages,
    RecordingMailer,
    SequentialSecrets,
    SettableClock,
    plain_hash,
)

PASSWORD: Final = "Correct-Horse-1"
ANOTHER_PASSWORD: Final = "Battery-Staple-2"
LAPTOP: Final = Device(ip="192.0.2.1", user_agent="Firefox")
PHONE: Final = Device(ip="192.0.2.2", user_agent="Safari")
SESSION_LIFETIME: Final = timedelta(days=30)
MAX_UPLOAD_BYTES: Final = 1000
MAX_IMAGE_BYTES: Final = 100
QUOTA_BYTES: Final = 2500


def a_user(email: str = "ada@example.org", *, password: str = PASSWORD, **changes: Any) -> User:
    """A new, verified user that no repository has seen yet."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    values: dict[str, Any] = {
        "email": Email(email),
        "password_hash": plain_hash(password),
        "is_verified": True,
        "created_at": moment,
        "updated_at": moment,
    }
    return User(**(values | changes))


def a_job(kind: str = "a_kind", *, job_id: str = "job-1", attempt: int = 1, **payload: Any) -> Job:
    """A job as a handler gets it."""
    return Job(id=job_id, kind=kind, payload=payload, attempt=attempt, owner="a worker", request_id=None)


@dataclass
class World:
    """All parts in memory, and the use cases that a test needs more than once, put together from them."""

    clock: SettableClock = field(default_factory=SettableClock)
    hasher: PlainHasher = field(default_factory=PlainHasher)
    breached: FixedBreachedPasswords = field(default_factory=FixedBreachedPasswords)
    secrets: SequentialSecrets = field(default_factory=SequentialSecrets)
    mailer: RecordingMailer = field(default_factory=RecordingMailer)
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    """What the worker reported."""

    @cached_property
    def store(self) -> InMemoryStore:
        return InMemoryStore(self.clock)

    @cached_property
    def blob_store(self) -> InMemoryBlobStore:
        return InMemoryBlobStore(self.clock)

    @cached_property
    def throttle(self) -> CountingThrottle:
        return CountingThrottle(self.clock)

    @cached_property
    def tokens(self) -> FakeTokens:
        return FakeTokens(self.clock)

    @property
    def hash_new_password(self) -> HashNewPassword:
        return HashNewPassword(self.hasher, self.breached)

    @property
    def confirm_password(self) -> ConfirmPassword:
        return ConfirmPassword(self.hasher, self.throttle)

    @property
    def redeem(self) -> RedeemMailedToken:
        return RedeemMailedToken(self.secrets, self.clock)

    @property
    def check_mailed_token(self) -> CheckMailedToken:
        return CheckMailedToken(self.store, self.secrets, self.clock)

    @property
    def issue_tokens(self) -> IssueTokens:
        return IssueTokens(self.tokens, self.secrets)

    @property
    def register(self) -> RegisterUser:
        return RegisterUser(self.store.begin, self.hash_new_password, self.throttle, self.clock, registration_open=True)

    @property
    def delete_own_account(self) -> DeleteOwnAccount:
        return DeleteOwnAccount(self.store.begin, self.confirm_password)

    @property
    def sign_in(self) -> SignIn:
        return SignIn(
            self.store.begin,
            self.store,
            self.hasher,
            self.throttle,
            self.issue_tokens,
            self.secrets,
            self.clock,
            SESSION_LIFETIME,
        )

    @property
    def refresh(self) -> RefreshSession:
        return RefreshSession(self.store.begin, self.issue_tokens, self.secrets, self.clock, SESSION_LIFETIME)

    @property
    def authenticate(self) -> Authenticate:
        return Authenticate(self.tokens, self.store, self.clock, self.activity)

    @cached_property
    def activity(self) -> Activity:
        return Activity(self.store.begin, self.clock)

    @property
    def change_password(self) -> ChangePassword:
        return ChangePassword(self.store.begin, self.confirm_password, self.hash_new_password)

    @property
    def forgot_password(self) -> ForgotPassword:
        return ForgotPassword(self.store.begin, self.throttle)

    @property
    def reset_password(self) -> ResetPassword:
        return ResetPassword(self.store.begin, self.check_mailed_token, self.redeem, self.hash_new_password)

    @property
    def verify_email(self) -> VerifyEmail:
        return VerifyEmail(self.store.begin, self.redeem)

    @property
    def resend_verification(self) -> ResendVerification:
        return ResendVerification(self.store.begin, self.throttle)

    @property
    def request_email_change(self) -> RequestEmailChange:
        return RequestEmailChange(self.store.begin, self.store, self.confirm_password, self.throttle)

    @property
    def change_email(self) -> ChangeEmail:
        return ChangeEmail(self.store.begin, self.redeem)

    @property
    def send_email(self) -> SendEmail:
        return SendEmail(self.store.begin, self.throttle)

    @property
    def stage_upload(self) -> StageUpload:
        return StageUpload(self.store, self.blob_store, QUOTA_BYTES)

    @property
    def stage_drafts(self) -> StageDrafts:
        return StageDrafts(self.stage_upload, self.blob_store)

    @property
    def keep_staged(self) -> KeepStaged:
        return KeepStaged(self.store.begin, self.blob_store, self.secrets, self.clock)

    @property
    def keep_drafts(self) -> KeepDrafts:
        return KeepDrafts(self.keep_staged, self.clock, QUOTA_BYTES)

    @property
    def store_files(self) -> StoreFiles:
        return StoreFiles(self.stage_drafts, self.keep_drafts, MAX_UPLOAD_BYTES)

    @cached_property
    def images(self) -> PretendedImages:
        return PretendedImages()

    @property
    def store_image(self) -> StoreImage:
        return StoreImage(
            self.stage_drafts, self.keep_drafts, self.blob_store, self.images, LookAtImage(), MAX_IMAGE_BYTES
        )

    @cached_property
    def open_thumbnail(self) -> OpenThumbnail:
        make = MakeThumbnail(self.store, self.blob_store, self.images, LookAtImage(), self.keep_staged, MAX_IMAGE_BYTES)
        return OpenThumbnail(self.store, self.blob_store, make)

    @property
    def create_upload(self) -> CreateResumableUpload:
        return CreateResumableUpload(self.store.begin, self.secrets, self.clock, MAX_UPLOAD_BYTES, QUOTA_BYTES)

    @property
    def get_upload(self) -> GetResumableUpload:
        return GetResumableUpload(self.store, self.clock)

    @property
    def receive_upload(self) -> ReceiveUpload:
        return ReceiveUpload(
            self.store, self.store.begin, self.get_upload, self.blob_store, self.keep_drafts, QUOTA_BYTES
        )

    @property
    def begin_upload(self) -> BeginUpload:
        return BeginUpload(self.create_upload, self.receive_upload, self.terminate_upload)

    @property
    def terminate_upload(self) -> TerminateUpload:
        return TerminateUpload(self.store.begin, self.blob_store, self.clock)

    @property
    def start_task(self) -> StartTask:
        return StartTask(self.store.begin, self.store, self.secrets, self.clock)

    @property
    def run_task(self) -> RunTask:
        return RunTask(
            self.store.begin,
            self.store,
            self.clock,
            {
                "export_account": ExportAccount(
                    self.store, self.blob_store, self.stage_upload, self.keep_drafts, self.clock
                ),
                "import_items": ImportItems(self.store, self.blob_store, self.clock),
            },
        )

    @property
    def delete_file(self) -> DeleteFile:
        return DeleteFile(self.store.begin)

    async def claim(self, staged: Staged) -> None:
        """As an upload does that dies then."""
        async with self.store.begin() as work:
            claim = Claim(self.secrets.new_id(), staged.sha256, staged.size, self.clock.now())
            await work.blobs.claim([claim])

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handler of each kind of job, as the container has them."""
        collect_blob = CollectBlob(self.store.begin, self.blob_store, self.clock)
        mail_link = MailLink(self.store.begin, self.secrets, self.mailer, self.clock)
        return {
            "mail_verification": MailVerification(self.store, mail_link),
            "mail_verification_again": MailVerificationAgain(self.store, mail_link),
            "mail_password_reset": MailPasswordReset(self.store, mail_link),
            "mail_password_changed": MailNotice(self.store, self.mailer, Letter.PASSWORD_CHANGED),
            "mail_email_change": MailEmailChange(self.store, mail_link),
            "mail_email_change_requested": MailNotice(self.store, self.mailer, Letter.EMAIL_CHANGE_REQUESTED),
            "mail_email_changed": MailNotice(self.store, self.mailer, Letter.EMAIL_CHANGED),
            "mail_message": MailMessage(self.mailer),
            "record_activity": RecordActivity(self.store.begin),
            "remove_items_of_user": RemoveItemsOfUser(self.store.begin),
            "remove_changes_of_user": RemoveChangesOfUser(self.store.begin),
            "remove_files_of_user": RemoveFilesOfUser(self.store.begin),
            "remove_uploads_of_user": RemoveUploadsOfUser(self.store.begin, self.blob_store),
            "collect_blob": collect_blob,
            "sweep_blobs": SweepBlobs(self.store, self.blob_store, self.clock, collect_blob),
            "sweep_resumable_uploads": SweepResumableUploads(self.store.begin, self.blob_store, self.clock),
            "remove_tasks_of_user": RemoveTasksOfUser(self.store.begin),
            "run_task": self.run_task,
            "settle_tasks": SettleTasks(self.store.begin, self.clock),
            "sweep_expired": SweepExpired(self.store.begin, self.clock),
        }

    async def add(self, user: User) -> User:
        """Store the user, as if it had always been there."""
        async with self.store.begin() as work:
            return await work.users.add(user)

    async def has(self, email: str = "ada@example.org", *, password: str = PASSWORD, **changes: Any) -> User:
        """A stored user."""
        return await self.add(a_user(email, password=password, **changes))

    async def signed_in(self, user: User, *, password: str = PASSWORD, device: Device = LAPTOP) -> TokenPair:
        """The pair that the user gets for the password."""
        return await self.sign_in(email=user.email, password=Password(password), device=device)

    async def actor(self, user: User, *, password: str = PASSWORD, device: Device = LAPTOP) -> Actor:
        """The user, through a new session."""
        pair = await self.signed_in(user, password=password, device=device)
        return await self.authenticate(pair.access_token)

    async def do_jobs(self) -> None:
        """Let a real worker do what can be done now, until nothing is left of it."""
        stop = asyncio.Event()
        worker = Worker("the worker", self.store.jobs, self.handlers, {}, self._observe)
        running = asyncio.create_task(worker.run(stop))
        try:
            await self.store.jobs.settled()
        finally:
            stop.set()
            async with asyncio.timeout(60):
                await running

    def _observe(self, kind: str, outcome: str) -> None:
        self.outcomes.append((kind, outcome))

    def while_a_password_is_checked(self, happens: Callable[[], Awaitable[None]]) -> None:
        """Let this happen once, while the next password is compared or hashed."""

        async def happens_once() -> None:
            self.hasher.while_hashing = None
            await happens()

        self.hasher.while_hashing = happens_once

    async def change_the_password(self, user: User) -> None:
        """As its owner does, from a session of their own: `ANOTHER_PASSWORD` is the one from then on."""
        owner = await self.actor(user, device=PHONE)
        await self.change_password(owner, current=Password(PASSWORD), new=Password(ANOTHER_PASSWORD))

    def mails(self, letter: Letter) -> list[Mail]:
        """The letters of that kind that were sent."""
        return [mail for mail in self.mailer.sent if mail.letter is letter]

    def last_token(self) -> str:
        """The secret in the link of the mail that was sent last."""
        token = self.mailer.sent[-1].token
        assert token is not None
        return token
