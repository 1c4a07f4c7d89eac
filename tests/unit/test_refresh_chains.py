"""Whatever an owner and a thief do with the refresh tokens of one session, never do both keep it."""

from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Unauthenticated
from domain.sessions import REUSE_GRACE, RefreshTokenReused
from tests.builders import World


@dataclass
class Chain:
    """A session, all refresh tokens that it ever had, and when each was first spent."""

    world: World
    tokens: list[str]
    spent: dict[str, timedelta] = field(default_factory=dict)
    elapsed: timedelta = timedelta()
    over: bool = False

    async def spend(self, choice: int) -> None:
        token = self.tokens[choice % len(self.tokens)]
        too_late = token in self.spent and self.elapsed - self.spent[token] > REUSE_GRACE
        try:
            pair = await self.world.refresh(token)
        except RefreshTokenReused:
            assert too_late
            assert not self.over
            self.over = True
        except Unauthenticated:
            assert self.over
        else:
            assert not too_late
            assert not self.over
            self.spent.setdefault(token, self.elapsed)
            self.tokens.append(pair.refresh_token)

    def wait(self, seconds: int) -> None:
        self.elapsed += timedelta(seconds=seconds)
        self.world.clock.advance(timedelta(seconds=seconds))


steps = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 1000)), min_size=1, max_size=30)


@given(steps)
async def test_a_late_reuse_ends_the_session_for_all_and_nothing_else_does(steps: list[tuple[int, int]]) -> None:
    world = World()
    chain = Chain(world, [(await world.signed_in(await world.has())).refresh_token])
    for seconds, choice in steps:
        chain.wait(seconds)
        await chain.spend(choice)
        assert len(world.store.sessions) == (0 if chain.over else 1)


@given(st.integers(1, 5), st.integers(11, 10_000), st.booleans())
async def test_owner_and_thief_never_both_keep_a_stolen_token(length: int, seconds: int, thief_first: bool) -> None:
    world = World()
    stolen = (await world.signed_in(await world.has())).refresh_token
    chain = {"owner": stolen, "thief": stolen}
    refused = 0
    for party in ["thief", "owner"] if thief_first else ["owner", "thief"]:
        for _ in range(length):
            try:
                chain[party] = (await world.refresh(chain[party])).refresh_token
            except Unauthenticated:
                refused += 1
            world.clock.advance(timedelta(seconds=seconds))
    assert refused > 0
    assert world.store.sessions == []
