from datetime import timedelta
from itertools import pairwise

from application.changes import KEPT as CHANGES_KEPT
from application.jobs import RETRY_DELAYS
from application.sweeping import BATCH, CHANGES_SPARED, OVERDUE, REMEMBERED, SweepExpired
from domain.events import ItemDeleted
from domain.mailed_tokens import MailedToken, Purpose
from domain.sessions import RefreshToken, Session
from domain.users import User
from tests.builders import PHONE, SESSION_LIFETIME, World, a_job
from tests.unit.failing_ports import Fuse


async def sweep(world: World) -> None:
    await world.handlers["sweep_expired"](a_job("sweep_expired"))


def a_session(user: User, session_id: str, world: World, *, ends_in: timedelta) -> Session:
    now = world.clock.now()
    return Session(
        id=session_id,
        user_id=user.id,
        created_at=now,
        last_used_at=now,
        expires_at=now + ends_in,
        user_agent=None,
        ip=None,
    )


async def test_expired_sessions_go_with_their_refresh_tokens_and_live_ones_stay(world: World) -> None:
    ada = await world.has()
    await world.signed_in(ada)
    world.clock.advance(OVERDUE + timedelta(days=1))
    kept = await world.actor(ada, device=PHONE)
    world.clock.advance(SESSION_LIFETIME - timedelta(days=1, seconds=1))
    await sweep(world)
    assert len(world.store.sessions) == 2
    world.clock.advance(timedelta(seconds=1))
    await sweep(world)
    assert [session.id for session in world.store.sessions] == [kept.session_id]
    assert [token.session_id for token in world.store.refresh_tokens] == [kept.session_id]


async def test_an_expired_refresh_token_of_a_live_session_goes_alone(world: World) -> None:
    ada = await world.has()
    pair = await world.signed_in(ada)
    world.clock.advance(timedelta(days=20))
    await world.refresh(pair.refresh_token)
    world.clock.advance(timedelta(days=15))
    await sweep(world)
    assert (len(world.store.sessions), len(world.store.refresh_tokens)) == (1, 1)


async def test_an_expired_mailed_token_is_remembered_longer_than_its_mail_is_retried(world: World) -> None:
    ada = await world.has(is_verified=False)
    await world.handlers["mail_verification"](a_job(user_id=ada.id))
    world.clock.advance(Purpose.VERIFY_EMAIL.lifetime + REMEMBERED - timedelta(seconds=1))
    await sweep(world)
    assert len(world.store.mailed_tokens) == 1
    world.clock.advance(timedelta(seconds=1))
    await sweep(world)
    assert world.store.mailed_tokens == []


def test_a_mail_is_not_retried_for_longer_than_its_token_is_remembered() -> None:
    assert 1.2 * sum(RETRY_DELAYS, timedelta()) < REMEMBERED


async def test_any_number_goes_in_batches(world: World) -> None:
    ada = await world.has()
    past = -OVERDUE
    forgotten = world.clock.now() - REMEMBERED
    async with world.store.begin() as work:
        await work.sessions.add(a_session(ada, "live", world, ends_in=timedelta(days=1)))
        for n in range(2 * BATCH + 1):
            await work.sessions.add(a_session(ada, f"s{n}", world, ends_in=past))
            await work.sessions.add_refresh_token(
                RefreshToken(token_hash=f"r{n}", session_id="live", expires_at=world.clock.now() + past)
            )
            await work.mailed_tokens.replace(
                MailedToken(
                    token_hash=f"m{n}",
                    user_id=ada.id,
                    purpose=Purpose.VERIFY_EMAIL,
                    email=ada.email,
                    expires_at=forgotten,
                )
            )
    left = [world.store.rows]
    fuse = Fuse(on_commit=lambda: left.append(world.store.rows))
    await SweepExpired(fuse.wire_begin(world.store.begin), world.clock)(a_job("sweep_expired"))
    assert all(before[table] - after[table] <= BATCH for before, after in pairwise(left) for table in before)
    assert [session.id for session in world.store.sessions] == ["live"]
    assert (world.store.refresh_tokens, world.store.mailed_tokens) == ([], [])


async def test_a_change_is_kept_an_hour_longer_than_one_can_resume_from_it(world: World) -> None:
    async with world.store.begin() as work:
        work.announce(ItemDeleted(7, 1))
    world.clock.advance(CHANGES_KEPT + CHANGES_SPARED - timedelta(seconds=1))
    await sweep(world)
    assert world.store.rows["changes"] == 1
    world.clock.advance(timedelta(seconds=1))
    await sweep(world)
    assert world.store.rows["changes"] == 0
