"""The partner's API over HTTP: what goes wrong, how often it is asked again, and when it is left alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import pytest

from adapters.partner.breaker import PAUSE, THRESHOLD
from adapters.partner.http import LARGEST, PAUSES, HttpPartner
from application.correlation import request_id, traceparent
from domain.partner import ExternalApiError, ExternalServiceUnavailable
from tests.partner_server import (
    Act,
    PartnerServer,
    drops,
    gives,
    halves,
    is_silent,
    lies,
    never_ends,
    nobodys_address,
    partner_server,
    says,
    talks_nonsense,
)

ATTEMPTS = len(PAUSES) + 1
LONG = 60.0
"""A time allowed that no test ever waits for."""

Connect = Callable[..., HttpPartner]


class Time:
    """The breaker's clock."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def server() -> AsyncIterator[PartnerServer]:
    async with partner_server() as server:
        yield server


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def let_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds pass at once, for all that the event loop times."""
    loop, passed = asyncio.get_running_loop(), 0.0
    real_time = loop.time

    def let_pass(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        monkeypatch.setattr(loop, "time", lambda: real_time() + passed)

    return let_pass


@pytest.fixture
async def connect(server: PartnerServer, time: Time) -> AsyncIterator[Connect]:
    """Makes clients of the server."""
    made = []

    def make(*, timeout: float = LONG, concurrency: int = 4, url: str | None = None) -> HttpPartner:
        made.append(HttpPartner(url or server.url, timeout, concurrency, time))
        return made[-1]

    yield make
    for partner in made:
        await partner.close()


async def status_of(call: Awaitable[object]) -> int:
    """The status that the partner answered with; 0 if it was unavailable, 200 if all went well."""
    try:
        await call
    except ExternalApiError as error:
        return error.upstream_status
    except ExternalServiceUnavailable:
        return 0
    return 200


@pytest.mark.parametrize(
    "trouble",
    [
        drops,
        halves,
        lies,
        talks_nonsense,
        says(200, b"<p>Welcome</p>"),
        says(200, b""),
        says(200, b'{"a": NaN}'),
        says(200, b'{"a": [1e999]}'),
        says(200, b'"\\ud800"'),
        says(200, b'"\xff"'),
        says(200, b"[" * 100_000),
        says(204, b""),
        says(200, b"{}", Content_Encoding="gzip"),
        says(500),
        says(502, b"<p>Bad gateway</p>"),
        says(503),
        says(429),
    ],
)
async def test_what_may_go_better_is_tried_again(server: PartnerServer, connect: Connect, trouble: Act) -> None:
    server.acts["/data"] = [trouble, gives("well")]

    assert await connect().data() == "well"
    assert server.asked["/data"] == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 422])
async def test_what_would_not_change_is_not_tried_again_nor_a_redirect_followed(
    server: PartnerServer, connect: Connect, status: int
) -> None:
    server.acts["/data"] = [says(status, Location=f"{server.url}/users/1")]

    assert await status_of(connect().data()) == status
    assert server.asked == {"/data": 1}


@pytest.mark.parametrize(("trouble", "status"), [(says(500), 500), (says(503), 503), (drops, 0), (lies, 0)])
async def test_it_is_not_tried_for_ever(server: PartnerServer, connect: Connect, trouble: Act, status: int) -> None:
    server.acts["/data"] = [trouble]

    assert await status_of(connect().data()) == status
    assert server.asked["/data"] == ATTEMPTS


async def test_nobody_there_is_unavailable(connect: Connect) -> None:
    with nobodys_address() as nobodys:
        for url in (nobodys, "http://nobody.invalid"):
            assert await status_of(connect(url=url).data()) == 0


async def test_endless_data_are_cut_off_and_not_asked_for_again(server: PartnerServer, connect: Connect) -> None:
    server.acts["/data"] = [never_ends]

    assert await status_of(connect().data()) == 0
    assert server.asked["/data"] == 1


async def test_an_answer_may_have_ten_megabytes_and_not_a_byte_more(server: PartnerServer, connect: Connect) -> None:
    server.acts["/data"] = [gives("a" * (LARGEST - 2)), gives("a" * (LARGEST - 1))]
    partner = connect()

    assert len(await partner.data()) == LARGEST - 2
    assert await status_of(partner.data()) == 0


async def test_a_silent_one_gets_the_whole_time_allowed_and_no_more(
    server: PartnerServer, connect: Connect, let_pass: Callable[[float], None]
) -> None:
    server.acts["/data"] = [is_silent]
    call = asyncio.create_task(status_of(connect().data()))
    await server.until(lambda: server.at_once == 1)

    let_pass(LONG / 2)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not call.done()

    let_pass(LONG / 2)
    assert await call == 0
    assert server.asked["/data"] == 1


async def test_waiting_for_a_place_is_part_of_the_time_allowed(server: PartnerServer, connect: Connect) -> None:
    server.acts["/data"] = [server.holds]
    partner = connect(timeout=1, concurrency=1)

    async with asyncio.timeout(60):
        assert await asyncio.gather(*(status_of(partner.data()) for _ in range(THRESHOLD - 1))) == [0] * (THRESHOLD - 1)
    assert server.asked["/data"] < THRESHOLD - 1  # who waited for a place had no time left once there was one


@pytest.mark.parametrize("status", [429, 503])
async def test_a_partner_is_left_alone_for_as_long_as_it_asks(
    server: PartnerServer, connect: Connect, status: int
) -> None:
    loop = asyncio.get_running_loop()
    server.acts["/data"] = [says(status, Retry_After="1"), gives("well")]
    asked_at = loop.time()

    assert await connect().data() == "well"
    assert loop.time() - asked_at >= 1


@pytest.mark.parametrize(
    "pause",
    ["3600", "Fri, 01 Jan 2100 00:00:00 GMT", "9" * 400],
    ids=["seconds", "a date", "for ever"],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_one_that_wants_more_time_than_there_is_gets_the_call_ended_at_once(
    server: PartnerServer, connect: Connect, status: int, pause: str
) -> None:
    server.acts["/data"] = [says(status, Retry_After=pause), gives("too early")]

    async with asyncio.timeout(LONG / 2):
        assert await status_of(connect().data()) == status
    assert server.asked["/data"] == 1


@pytest.mark.parametrize("pause", ["", "soon", "-1", "Wed, 99 Nov 2026 07:28:00 GMT", "Wed, 01 Jan 2020 07:28:00 GMT"])
async def test_a_pause_that_says_nothing_is_our_own(server: PartnerServer, connect: Connect, pause: str) -> None:
    server.acts["/data"] = [says(503, Retry_After=pause), gives("well")]

    assert await connect().data() == "well"


async def test_a_call_that_had_an_answer_ends_with_it_though_the_next_attempt_has_none(
    server: PartnerServer, connect: Connect, let_pass: Callable[[float], None]
) -> None:
    server.acts["/data"] = [says(500), is_silent]
    call = asyncio.create_task(status_of(connect().data()))
    await server.until(lambda: server.asked["/data"] == 2)

    let_pass(LONG)
    assert await call == 500


async def test_no_more_calls_go_out_at_once_than_allowed(server: PartnerServer, connect: Connect) -> None:
    partner = connect(concurrency=4)
    for number in range(12):
        server.acts[f"/users/{number}"] = [server.holds]

    calls = [asyncio.create_task(partner.user(number)) for number in range(12)]
    await server.until(lambda: server.at_once == 4)
    server.release()

    assert await asyncio.gather(*calls) == ["held"] * 12
    assert server.most_at_once == 4
    assert server.connections <= 4


async def test_one_connection_serves_one_call_after_the_other(server: PartnerServer, connect: Connect) -> None:
    partner = connect()
    for number in range(5):
        await partner.user(number)

    assert server.connections == 1


async def test_a_call_that_was_given_up_gives_its_place_back(server: PartnerServer, connect: Connect) -> None:
    server.acts["/data"] = [server.holds]
    partner = connect(concurrency=1)
    call = asyncio.create_task(partner.data())
    await server.until(lambda: server.at_once == 1)
    call.cancel()
    await asyncio.wait([call])

    assert await partner.user(1) == "/users/1"


async def test_the_request_and_the_trace_that_cause_a_call_are_named_in_it(
    server: PartnerServer, connect: Connect
) -> None:
    partner = connect()
    token, trace = request_id.set("mine.1"), traceparent.set("00-trace")
    await partner.data()
    request_id.reset(token)
    traceparent.reset(trace)
    await partner.data()

    named, unnamed = server.headers["/data"]
    assert (named["x-request-id"], named["traceparent"]) == ("mine.1", "00-trace")
    assert not {"x-request-id", "traceparent"} & unnamed.keys()
    assert (named["accept"], named["accept-encoding"]) == ("application/json", "identity")


async def until_open(server: PartnerServer, partner: HttpPartner) -> list[int]:
    """Fail until the breaker opens; what the calls ended with."""
    ended = []
    while sum(server.asked.values()) < THRESHOLD:
        ended.append(await status_of(partner.data()))
    return ended


async def test_a_partner_that_keeps_failing_is_left_alone_then_probed_by_one_call(
    server: PartnerServer, connect: Connect, time: Time
) -> None:
    server.acts["/data"] = [says(500)]
    partner = connect()

    ended = await until_open(server, partner)
    with pytest.raises(ExternalServiceUnavailable) as refused:
        await partner.user(1)
    assert set(ended) == {500}  # the last one too: it had its answer before the breaker opened
    assert sum(server.asked.values()) == THRESHOLD
    assert refused.value.retry_after == PAUSE

    time.seconds += PAUSE
    server.acts["/users/2"] = [server.holds]
    probe = asyncio.create_task(partner.user(2))
    await server.until(lambda: server.at_once == 1)
    assert await status_of(partner.user(3)) == 0
    assert server.asked["/users/3"] == 0
    server.release()
    assert await probe == "held"
    assert await partner.user(3) == "/users/3"


async def test_a_probe_that_fails_leaves_it_open_and_one_that_was_given_up_says_nothing(
    server: PartnerServer, connect: Connect, time: Time
) -> None:
    server.acts["/data"] = [says(500)]
    partner = connect()
    await until_open(server, partner)

    time.seconds += PAUSE
    assert await status_of(partner.data()) == 500
    assert await status_of(partner.user(1)) == 0

    time.seconds += PAUSE
    server.acts["/users/2"] = [server.holds]
    probe = asyncio.create_task(partner.user(2))
    await server.until(lambda: server.at_once == 1)
    probe.cancel()
    await asyncio.wait([probe])
    assert await partner.user(1) == "/users/1"


@pytest.mark.parametrize("trouble", [drops, lies, halves, says(503)])
async def test_every_kind_of_failure_opens_it(server: PartnerServer, connect: Connect, trouble: Act) -> None:
    server.acts["/data"] = [trouble]
    partner = connect()
    await until_open(server, partner)

    assert await status_of(partner.user(1)) == 0
    assert server.asked["/users/1"] == 0


async def test_silence_opens_it(server: PartnerServer, connect: Connect, let_pass: Callable[[float], None]) -> None:
    server.acts["/data"] = [is_silent]
    partner = connect(concurrency=THRESHOLD)
    calls = [asyncio.create_task(status_of(partner.data())) for _ in range(THRESHOLD)]
    await server.until(lambda: server.at_once == THRESHOLD)
    let_pass(LONG)
    await asyncio.gather(*calls)

    assert await status_of(partner.user(1)) == 0
    assert server.asked["/users/1"] == 0


async def test_a_partner_that_is_slow_is_not_left_alone_for_what_had_to_wait_for_a_place(
    server: PartnerServer, connect: Connect, let_pass: Callable[[float], None]
) -> None:
    """It takes half the time allowed for the first calls, and more than is left for those that waited for them."""
    for number in range(THRESHOLD):
        server.acts |= {f"/users/{number}": [server.holds], f"/users/{THRESHOLD + number}": [is_silent]}
    partner = connect(concurrency=THRESHOLD)
    calls = [asyncio.create_task(status_of(partner.user(number))) for number in range(2 * THRESHOLD)]
    await server.until(lambda: server.at_once == THRESHOLD)
    let_pass(LONG / 2)
    server.release()
    await server.until(lambda: server.asked.total() == 2 * THRESHOLD)
    let_pass(LONG / 2)

    assert await asyncio.gather(*calls) == [200] * THRESHOLD + [0] * THRESHOLD
    assert await partner.user(2 * THRESHOLD) == f"/users/{2 * THRESHOLD}"


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429])
async def test_no_other_answer_ever_opens_it_nor_does_a_client_that_goes_away(
    server: PartnerServer, connect: Connect, status: int
) -> None:
    partner = connect(concurrency=THRESHOLD)
    server.acts["/data"] = [says(status, Retry_After="3600")]
    for _ in range(2 * THRESHOLD):
        assert await status_of(partner.data()) == status
    for number in range(THRESHOLD):
        server.acts[f"/users/{number}"] = [server.holds]
    calls = [asyncio.create_task(partner.user(number)) for number in range(THRESHOLD)]
    await server.until(lambda: server.at_once == THRESHOLD)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)

    assert await partner.user(THRESHOLD) == f"/users/{THRESHOLD}"


async def test_failures_between_answers_do_not_add_up(server: PartnerServer, connect: Connect) -> None:
    server.acts["/data"] = [says(500)]
    partner = connect()
    for number in count(1):
        assert await status_of(partner.data()) == 500
        assert await partner.user(number) == f"/users/{number}"
        if server.asked["/data"] > THRESHOLD:
            break


async def test_no_log_line_names_the_address(
    server: PartnerServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server.acts["/data"] = [says(500), drops, lies]
    await status_of(connect(url=server.url.replace("127", "user:hidden-password@127")).data())

    ours = [record.getMessage() for record in caplog.records if record.name.startswith("adapters")]
    assert len(ours) == ATTEMPTS
    assert not any("hidden" in line or str(server.port) in line for line in ours)
