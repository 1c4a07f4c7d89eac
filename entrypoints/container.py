"""The composition root: every part and every use case, put together. With `parts.py` and `checks.py` the only place
that names an adapter, but for what migrates."""

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Dependency, Dict, Object, Provider, Singleton

from adapters.clock import SystemClock
from adapters.images.pillow import PillowImages
from adapters.persistence.jobs import SqlJobQueue
from adapters.persistence.work import SqlReads, begin
from adapters.security.bcrypt_hasher import BcryptHasher
from adapters.security.breached import BreachedPasswordList
from adapters.security.secrets import SystemSecrets
from application import (
    changes,
    collecting,
    email_addresses,
    exports,
    files,
    idempotency,
    images,
    imports,
    items,
    links,
    mail,
    mailed_tokens,
    passwords,
    resumable,
    resumable_creation,
    resumable_removal,
    sessions,
    sweeping,
    task_runs,
    tasks,
    thumbnails,
    uploads,
    users,
)
from application.activity import Activity
from application.jobs import Handler, Worker
from application.partner import GetExternalData, GetPartnerUsers
from application.ports.mail import Letter
from application.ports.persistence import Begin
from application.realtime import OpenConnection, Realtime
from entrypoints import parts
from entrypoints.checks import all_checks, checks_of
from entrypoints.health import Readiness
from entrypoints.http.realtime_words import ClientWords
from entrypoints.http.shown import Shown
from entrypoints.metrics import CountedMailer, Metrics
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from entrypoints.tracing import Tracing


class _AtFirstUse(Mapping[str, Handler]):
    """The handlers, each built when the first job of its kind comes: what most starts don't need isn't loaded then."""

    def __init__(self, handlers: Provider[Mapping[str, Handler]]) -> None:
        assert isinstance(handlers, Dict)
        self._providers: Mapping[str, Provider[Handler]] = handlers.kwargs

    def __getitem__(self, kind: str) -> Handler:
        return self._providers[kind]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._providers)

    def __len__(self) -> int:
        return len(self._providers)


def _session_lifetime(settings: Settings) -> timedelta:
    return timedelta(days=settings.refresh_token_expire_days)


def _process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def _tracing(settings: Settings) -> "Tracing | None":
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    from entrypoints.tracing import Tracing

    return Tracing(settings.otel_exporter_otlp_endpoint)


def _traced(tracing: "Tracing | None", name: str, port: Any) -> Any:
    return port if tracing is None else tracing.port(name, port)


def _traced_begin(tracing: "Tracing | None", begin: Begin) -> Begin:
    return begin if tracing is None else tracing.begin(begin)


def _traced_handlers(tracing: "Tracing | None", handlers: Mapping[str, Handler]) -> Mapping[str, Handler]:
    return handlers if tracing is None else tracing.handlers(handlers)


class Container(DeclarativeContainer):
    """Every part, built once, at its first use. Two containers share nothing."""

    settings = Dependency(instance_of=Settings)
    metrics_folder: Object[str | None] = Object(None)
    """Where the processes of one server keep their figures together."""

    # The parts that plug into the ports
    tracing = Singleton(_tracing, settings)
    clock = Singleton(SystemClock)
    database = Singleton(parts.database, settings)
    reads = Singleton(_traced, tracing, "database", Singleton(SqlReads, database, clock))
    job_queue = Singleton(SqlJobQueue, database)
    secret_key = Singleton(parts.secret_key, settings)
    secrets = Singleton(SystemSecrets, secret_key, Singleton(parts.previous_keys, settings))
    words = Singleton(ClientWords)
    process = Singleton(_process_name)
    stopping = Singleton(asyncio.Event)
    broadcaster = Singleton(parts.broadcaster, settings, secret_key, process)
    realtime = Singleton(Realtime, process, reads, broadcaster, words, clock)
    show = Singleton(Shown, settings.provided.api_v1_str)
    begin = Singleton(
        _traced_begin, tracing, Singleton(partial, begin, database, clock, show, realtime.provided.changed)
    )
    tokens = Singleton(parts.tokens, settings, secret_key, clock)
    hasher = Singleton(_traced, tracing, "hasher", Singleton(BcryptHasher, settings.provided.bcrypt_rounds))
    breached = Singleton(BreachedPasswordList)
    partner = Singleton(_traced, tracing, "partner", Singleton(parts.partner, settings))
    blobs = Singleton(_traced, tracing, "blobs", Singleton(parts.blobs, settings))
    pictures = Singleton(PillowImages)
    throttle = Singleton(_traced, tracing, "throttle", Singleton(parts.throttle, settings, secret_key))
    bare_mailer = Singleton(parts.mailer, settings)
    metrics = Singleton(Metrics, metrics_folder)
    mailer = Singleton(_traced, tracing, "mailer", Singleton(CountedMailer, bare_mailer, metrics))

    # Sessions
    session_lifetime = Singleton(_session_lifetime, settings)
    activity = Singleton(Activity, begin, clock)
    authenticate = Singleton(sessions.Authenticate, tokens, reads, clock, activity)
    open_connection = Singleton(OpenConnection, authenticate, tokens)
    issue_tokens = Singleton(sessions.IssueTokens, tokens, secrets)
    sign_in = Singleton(sessions.SignIn, begin, reads, hasher, throttle, issue_tokens, secrets, clock, session_lifetime)
    refresh_session = Singleton(sessions.RefreshSession, begin, issue_tokens, secrets, clock, session_lifetime)
    list_sessions = Singleton(sessions.ListSessions, reads)
    revoke_session = Singleton(sessions.RevokeSession, begin)
    revoke_other_sessions = Singleton(sessions.RevokeOtherSessions, begin)

    # Passwords
    redeem_mailed_token = Singleton(mailed_tokens.RedeemMailedToken, secrets, clock)
    check_mailed_token = Singleton(mailed_tokens.CheckMailedToken, reads, secrets, clock)
    hash_new_password = Singleton(passwords.HashNewPassword, hasher, breached)
    confirm_password = Singleton(passwords.ConfirmPassword, hasher, throttle)
    change_password = Singleton(passwords.ChangePassword, begin, confirm_password, hash_new_password)
    forgot_password = Singleton(passwords.ForgotPassword, begin, throttle)
    reset_password = Singleton(
        passwords.ResetPassword, begin, check_mailed_token, redeem_mailed_token, hash_new_password
    )

    # Addresses
    verify_email = Singleton(email_addresses.VerifyEmail, begin, redeem_mailed_token)
    resend_verification = Singleton(email_addresses.ResendVerification, begin, throttle)
    request_email_change = Singleton(email_addresses.RequestEmailChange, begin, reads, confirm_password, throttle)
    change_email = Singleton(email_addresses.ChangeEmail, begin, redeem_mailed_token)

    # Users
    register_user = Singleton(
        users.RegisterUser, begin, hash_new_password, throttle, clock, settings.provided.registration_open
    )
    create_superuser = Singleton(users.CreateSuperuser, begin, hash_new_password, clock)
    get_user = Singleton(users.GetUser, reads)
    list_users = Singleton(users.ListUsers, reads)
    rename_user = Singleton(users.RenameUser, begin)
    update_user = Singleton(users.UpdateUser, begin)
    delete_user = Singleton(users.DeleteUser, begin)
    delete_own_account = Singleton(users.DeleteOwnAccount, begin, confirm_password)
    ping_user = Singleton(users.PingUser, begin, reads, clock)

    # Items
    do_once = Singleton(idempotency.DoOnce, begin, reads)
    create_item = Singleton(items.CreateItem, begin, clock)
    get_item = Singleton(items.GetItem, reads)
    list_items = Singleton(items.ListItems, reads)
    edit_item = Singleton(items.EditItem, begin, clock)
    delete_item = Singleton(items.DeleteItem, begin)

    # Mail that is written by somebody
    send_email = Singleton(mail.SendEmail, begin, throttle)

    # The partner's API
    get_external_data = Singleton(GetExternalData, partner)
    get_partner_users = Singleton(GetPartnerUsers, partner)

    # Files
    quota = settings.provided.storage_quota_bytes
    max_upload = settings.provided.max_upload_bytes
    stage_upload = Singleton(uploads.StageUpload, reads, blobs, quota)
    keep_staged = Singleton(uploads.KeepStaged, begin, blobs, secrets, clock)
    keep_drafts = Singleton(uploads.KeepDrafts, keep_staged, clock, quota)
    stage_drafts = Singleton(uploads.StageDrafts, stage_upload, blobs)
    store_files = Singleton(uploads.StoreFiles, stage_drafts, keep_drafts, max_upload)
    get_file = Singleton(files.GetFile, reads)
    list_files = Singleton(files.ListFiles, reads)
    open_file = Singleton(files.OpenFile, reads, blobs)
    open_newest = Singleton(files.OpenNewest, reads, blobs)
    delete_file = Singleton(files.DeleteFile, begin)
    create_link = Singleton(links.CreateLink, begin, reads, secrets, clock)
    open_link = Singleton(links.OpenLink, reads, blobs, secrets, clock)
    get_upload = Singleton(resumable.GetResumableUpload, reads, clock)
    receive_upload = Singleton(resumable.ReceiveUpload, reads, begin, get_upload, blobs, keep_drafts, quota)
    terminate_upload = Singleton(resumable_removal.TerminateUpload, begin, blobs, clock)
    create_upload = Singleton(resumable_creation.CreateResumableUpload, begin, secrets, clock, max_upload, quota)
    begin_upload = Singleton(resumable_creation.BeginUpload, create_upload, receive_upload, terminate_upload)

    # Images
    max_image = settings.provided.max_image_bytes
    look_at_image = Singleton(images.LookAtImage)
    store_image = Singleton(images.StoreImage, stage_drafts, keep_drafts, blobs, pictures, look_at_image, max_image)
    make_thumbnail = Singleton(thumbnails.MakeThumbnail, reads, blobs, pictures, look_at_image, keep_staged, max_image)
    open_thumbnail = Singleton(thumbnails.OpenThumbnail, reads, blobs, make_thumbnail)

    # Collecting
    collect_blob = Singleton(collecting.CollectBlob, begin, blobs, clock)

    # Tasks, by their kinds
    start_task = Singleton(tasks.StartTask, begin, reads, secrets, clock)
    get_task = Singleton(tasks.GetTask, reads)
    list_tasks = Singleton(tasks.ListTasks, reads)
    cancel_task = Singleton(tasks.CancelTask, begin, clock)
    task_kinds = Dict(
        export_account=Singleton(exports.ExportAccount, reads, blobs, stage_upload, keep_drafts, clock),
        import_items=Singleton(imports.ImportItems, reads, blobs, clock),
    )

    # Background work: a handler for each kind of job
    mail_link = Singleton(mail.MailLink, begin, secrets, mailer, clock)
    job_handlers = Dict(
        mail_verification=Singleton(mail.MailVerification, reads, mail_link),
        mail_verification_again=Singleton(mail.MailVerificationAgain, reads, mail_link),
        mail_password_reset=Singleton(mail.MailPasswordReset, reads, mail_link),
        mail_password_changed=Singleton(mail.MailNotice, reads, mailer, Letter.PASSWORD_CHANGED),
        mail_email_change=Singleton(mail.MailEmailChange, reads, mail_link),
        mail_email_change_requested=Singleton(mail.MailNotice, reads, mailer, Letter.EMAIL_CHANGE_REQUESTED),
        mail_email_changed=Singleton(mail.MailNotice, reads, mailer, Letter.EMAIL_CHANGED),
        mail_message=Singleton(mail.MailMessage, mailer),
        record_activity=Singleton(users.RecordActivity, begin),
        remove_items_of_user=Singleton(items.RemoveItemsOfUser, begin),
        remove_changes_of_user=Singleton(changes.RemoveChangesOfUser, begin),
        remove_files_of_user=Singleton(files.RemoveFilesOfUser, begin),
        remove_uploads_of_user=Singleton(resumable_removal.RemoveUploadsOfUser, begin, blobs),
        collect_blob=collect_blob,
        sweep_blobs=Singleton(collecting.SweepBlobs, reads, blobs, clock, collect_blob),
        sweep_resumable_uploads=Singleton(resumable_removal.SweepResumableUploads, begin, blobs, clock),
        run_task=Singleton(task_runs.RunTask, begin, reads, clock, task_kinds),
        remove_tasks_of_user=Singleton(tasks.RemoveTasksOfUser, begin),
        settle_tasks=Singleton(tasks.SettleTasks, begin, clock),
        sweep_expired=Singleton(sweeping.SweepExpired, begin, clock),
    )
    schedules = Object(
        {
            "sweep_expired": timedelta(hours=1),
            "sweep_blobs": timedelta(hours=1),
            "sweep_resumable_uploads": timedelta(hours=1),
            "settle_tasks": timedelta(minutes=1),
        }
    )
    handlers = Singleton(_AtFirstUse, job_handlers.provider)
    traced_handlers = Singleton(_traced_handlers, tracing, handlers)
    worker = Singleton(Worker, process, job_queue, traced_handlers, schedules, metrics.provided.worked)

    # Whether it all works, asked over HTTP and by `portico check`
    checks = Singleton(checks_of, settings, database, blobs, job_queue, throttle)
    readiness = Singleton(Readiness, checks)
    full_check = Singleton(Readiness, Singleton(all_checks, checks, settings, database, bare_mailer, partner))
