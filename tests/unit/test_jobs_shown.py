"""How the command line shows jobs, and has them tried again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from application.ports.jobs import JobDetails, JobRecord, NewJob
from domain.tasks import TaskFinished, TaskKind
from domain.users import Actor
from entrypoints.jobs import bar, details, retried, shown, span, table
from tests.builders import World

RECORD = JobRecord("1b2c", "mail_verification", "waiting", 3, "MailUndelivered: 451 later", 250)
JOB = JobDetails(RECORD, 12.4, None, "mine.1", ["user_id", "email"])


def test_jobs_stand_in_columns_under_a_head() -> None:
    jobs = [RECORD, JobRecord("9", "sweep_expired", "dead", 10, None, 200_000)]

    assert table(jobs, None).splitlines() == [
        "ID    STATE    KIND               ATTEMPTS  AGE    ERROR",
        "1b2c  waiting  mail_verification  3         4 min  MailUndelivered: 451 later",
        "9     dead     sweep_expired      10        2 d",
    ]
    assert [len(line) <= 40 for line in table(jobs, 40).splitlines()] == [True] * 3
    assert table(jobs, 40).splitlines()[1].endswith("…")
    assert table([], None) == "ID  STATE  KIND  ATTEMPTS  AGE  ERROR"


def test_one_job_is_shown_with_a_bar_of_its_attempts() -> None:
    assert details(JOB).splitlines() == [
        "Job       1b2c",
        "Kind      mail_verification",
        "State     waiting, due in 12 s",
        "Attempts  [██████░░░░░░░░░░░░░░] 3 of 10",
        "Age       4 min",
        "Error     MailUndelivered: 451 later",
        "Request   mine.1",
        "Payload   user_id, email (the values are not shown)",
    ]


async def test_a_job_that_does_a_task_shows_how_far_the_task_is(world: World) -> None:
    task = await world.start_task(Actor(await world.has(), "a session"), TaskKind.EXPORT_ACCOUNT, {})
    async with world.store.begin() as work:
        task.begin(world.clock.now())
        task.advance(40, "Items packed: 2; files packed: 1")
        await work.tasks.save(task)
    (job,) = await world.store.jobs.list_jobs(state=None, limit=9)

    text = await shown(job.id, world.store.jobs, world.store)
    async with world.store.begin() as work:
        await work.tasks.delete_owned_by(task.owner_id, limit=9)
    without = await shown(job.id, world.store.jobs, world.store)

    assert text is not None and without is not None
    assert "Task      [████████░░░░░░░░░░░░] 40 % of export_account, running" in text.splitlines()
    assert [line for line in text.splitlines() if not line.startswith("Task ")] == without.splitlines()
    assert task.id not in text
    assert await shown("unheard-of", world.store.jobs, world.store) is None


async def test_a_dead_job_is_tried_again_unless_its_task_has_ended(world: World) -> None:
    queue = world.store.jobs
    task = await world.start_task(Actor(await world.has(), "a session"), TaskKind.EXPORT_ACCOUNT, {})
    await queue.add(NewJob("mail_message"))
    for job in await queue.claim("w", limit=9, lease=timedelta(minutes=1)):
        await queue.bury(job, error="it failed")
    of_task, other = sorted(await queue.list_jobs(state="dead", limit=9), key=lambda job: job.kind != "run_task")

    assert [await retried(job_id, queue, world.store) for job_id in (of_task.id, other.id)] == [True, True]
    assert not await retried(other.id, queue, world.store), "it is no longer dead"
    assert not await retried("unheard-of", queue, world.store)

    async with world.store.begin() as work:
        task.fail("internal_error", "Something went wrong", world.clock.now())
        await work.tasks.save(task)
    for job in await queue.claim("w", limit=9, lease=timedelta(minutes=1)):
        await queue.bury(job, error="it failed again")
    with pytest.raises(TaskFinished):
        await retried(of_task.id, queue, world.store)
    text = await shown(of_task.id, queue, world.store) or ""
    assert "State     dead, and its task has ended: portico jobs cancel takes it out" in text.splitlines()


@pytest.mark.parametrize(
    ("state", "due", "said"),
    [
        ("waiting", -90.0, "waiting, due for 2 min"),
        ("running", 14.0, "running, under a lease for another 14 s"),
        ("running", -3.0, "running, but its lease has ended"),
        ("dead", None, "dead: portico jobs retry tries it again, portico jobs cancel takes it out"),
    ],
)
def test_its_state_is_said_in_words(state: str, due: float | None, said: str) -> None:
    job = replace(JOB, record=replace(RECORD, state=state), due_in_seconds=due, owner="host:1:ab")

    assert f"State     {said}\n" in details(job)
    assert "Worker    host:1:ab\n" in details(job)


def test_nothing_that_another_server_said_drives_the_terminal() -> None:
    job = replace(JOB, record=replace(RECORD, error="550 \x1b[31mno\r\nsuch\u202euser\x07"))

    for text in (details(job), table([job.record], None)):
        assert all(line.isprintable() for line in text.splitlines())
    assert "Error     550  [31mno  such user" in details(job)


def test_a_bar_is_never_more_than_full() -> None:
    assert {bar(fraction) for fraction in (1, 1.5, 99)} == {f"[{'█' * 20}]"}
    assert {bar(fraction) for fraction in (0, -1)} == {f"[{'░' * 20}]"}


def test_a_span_is_told_in_the_greatest_unit_that_fits() -> None:
    assert [span(seconds) for seconds in (-1, 0, 59, 60, 3600, 86_400)] == ["0 s", "0 s", "59 s", "1 min", "1 h", "1 d"]
