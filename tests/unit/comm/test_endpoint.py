"""Sessions over real sockets: order, goodbyes, cuts, and peers that misbehave."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from pathlib import Path

import pytest

from himalia.comm.connection import open_authenticated
from himalia.comm.framing import HEADER
from himalia.comm.link import LINGER
from himalia.comm.security import Credentials, make_certificate
from himalia.errors import HandshakeError, UsageError
from himalia.messages.answers import Reply
from himalia.messages.client import Explain, ReleaseKeys
from himalia.messages.nanny import Heartbeat
from himalia.messages.parts import Close
from himalia.messages.telemetry import HostMetrics
from himalia.names import SCHEDULER, Key, PeerId
from himalia.testing.builders import make_reply
from tests.unit.comm.stage import CREDENTIALS, LOOP_NAMES, LOOPS, Loop, Node, Recorder, Relay, impatient, run
from tests.waiting import until

CLIENT = PeerId("client-1")


def release(number: int) -> ReleaseKeys:
    return ReleaseKeys([Key(str(number))])


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
@pytest.mark.parametrize("scheme", ["unix", "tcp", "tls"])
def test_messages_go_both_ways_in_order(scheme: str, loop: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        certificate = make_certificate(["127.0.0.1"]) if scheme == "tls" else None
        pinned = Credentials("c1", b"s" * 32, certificate.fingerprint if certificate else "")
        scheduler, client = Node("scheduler", credentials=pinned), Node("client", credentials=pinned)
        where = f"unix://{tmp_path}/s" if scheme == "unix" else f"{scheme}://127.0.0.1:0"
        address = await scheduler.listen(where, certificate)
        assert await client.connect(address) == scheduler.me
        await until(lambda: scheduler.joined and client.joined)
        assert (scheduler.joined, client.joined) == ([(CLIENT, "client")], [(SCHEDULER, "scheduler")])
        questions, answers = [release(n) for n in range(5000)], [make_reply(n, 500) for n in range(5000)]
        for question, answer in zip(questions, answers, strict=True):
            client.endpoint.send(SCHEDULER, question)
            scheduler.endpoint.send(CLIENT, answer)
        await until(lambda: len(scheduler.got) + len(client.got) >= 10_000)
        assert (scheduler.got, client.got) == (questions, answers)
        await client.endpoint.close()
        await until(lambda: scheduler.left)
        assert scheduler.left == [(CLIENT, "the client closed")]
        await scheduler.endpoint.close()
        assert client.left == []

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_a_peer_that_reads_slowly_gets_everything(loop: Loop) -> None:
    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        relay = Relay(await scheduler.listen("tcp://127.0.0.1:0"))
        await client.connect(await relay.open())
        await until(lambda: scheduler.joined)
        relay.flowing.clear()
        for number in range(300):
            scheduler.endpoint.send(CLIENT, make_reply(number, 100_000))
        await until(lambda: scheduler.endpoint._links[CLIENT].paused)
        assert scheduler.endpoint.backlog(CLIENT) < 15_000_000  # the rest waits unencoded
        relay.flowing.set()
        await until(lambda: len(client.got) == 300)
        assert [reply.request for reply in client.got] == list(range(300))
        await client.endpoint.close()
        await scheduler.endpoint.close()
        await relay.close()

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_however_often_the_connection_breaks(seed: int, loop: Loop) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        scheduler, client = Node("scheduler"), Node("client")
        relay = Relay(await scheduler.listen("tcp://127.0.0.1:0"))
        await client.connect(await relay.open())
        await until(lambda: scheduler.joined)
        count = 3000
        for number in range(count):
            client.endpoint.send(SCHEDULER, release(number))
            scheduler.endpoint.send(CLIENT, make_reply(number, chance.randrange(200)))
            if number % 300 == 299:
                relay.budget = chance.randrange(20_000)
                await until(lambda: relay.budget < 0)
        relay.budget = 10**12
        await until(lambda: len(scheduler.got) + len(client.got) >= 2 * count)
        assert scheduler.got == [release(number) for number in range(count)]
        assert [reply.request for reply in client.got] == list(range(count))
        assert relay.connections > 3
        assert (scheduler.left, client.left) == ([], [])
        assert len(scheduler.joined) == len(client.joined) == 1
        await client.endpoint.close()
        await scheduler.endpoint.close()
        await relay.close()

    run(main(), loop)


def test_what_is_owed_is_acknowledged_in_the_end() -> None:
    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        await client.connect(await scheduler.listen("tcp://127.0.0.1:0"))
        client.endpoint.send(SCHEDULER, release(1))
        client.endpoint.flush()
        assert client.endpoint.backlog(SCHEDULER) > 0
        await until(lambda: client.endpoint.backlog(SCHEDULER) == 0)
        await client.endpoint.close()
        await scheduler.endpoint.close()

    run(main())


def test_a_goodbye_comes_after_all_that_was_queued() -> None:
    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        await client.connect(await scheduler.listen("tcp://127.0.0.1:0"))
        await until(lambda: scheduler.joined)
        for number in range(20_000):
            scheduler.endpoint.send(CLIENT, make_reply(number, 200))
        scheduler.endpoint.send(CLIENT, Close("that was all"))
        scheduler.endpoint.disconnect(CLIENT, "enough")
        await until(lambda: client.left)
        assert client.left == [(SCHEDULER, "enough")]
        assert len(client.got) == 20_001
        assert scheduler.left == []
        assert not client.endpoint.peers
        assert not scheduler.endpoint.peers
        client.endpoint.send(SCHEDULER, release(1))  # to nobody: nothing happens
        await client.endpoint.close()
        await scheduler.endpoint.close()

    run(main())


def test_two_that_leave_at_once_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        await client.connect(await scheduler.listen("tcp://127.0.0.1:0"))
        await until(lambda: scheduler.joined)
        start = asyncio.get_running_loop().time()
        await asyncio.gather(client.endpoint.close(), scheduler.endpoint.close())
        assert asyncio.get_running_loop().time() - start < LINGER / 2

    run(main())


def test_a_unix_socket_s_peer_has_a_short_lease(tmp_path: Path) -> None:
    async def main() -> None:
        settings = impatient(local_lease=0.1)
        scheduler, client = Node("scheduler", settings=settings), Node("client", settings=settings)
        await client.connect(await scheduler.listen(f"unix://{tmp_path}/s"))
        await until(lambda: scheduler.joined)
        scheduler.endpoint._doors[0].close()
        wire = scheduler.endpoint._links[CLIENT].wire
        assert wire is not None
        wire.abort()
        await until(lambda: scheduler.left and client.left)
        await client.endpoint.close()
        await scheduler.endpoint.close()

    run(main())


def test_another_process_at_the_old_address_is_another_peer() -> None:
    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        address = await scheduler.listen("tcp://127.0.0.1:0")
        await client.connect(address)
        await until(lambda: scheduler.joined)
        scheduler.endpoint._doors[0].close()
        wire = client.endpoint._links[SCHEDULER].wire
        successor = Node("scheduler", "scheduler-2")
        await successor.listen(address)
        assert wire is not None
        wire.abort()
        await until(lambda: client.left)
        assert "did not come back" in client.left[0][1]
        assert successor.joined == []
        for node in (client, scheduler, successor):
            await node.endpoint.close()

    run(main())


def test_a_half_open_connection_is_closed_when_its_peer_comes_back() -> None:
    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        await client.connect(await scheduler.listen("tcp://127.0.0.1:0"))
        await until(lambda: scheduler.joined)
        link = client.endpoint._links[SCHEDULER]
        old = scheduler.endpoint._links[CLIENT].transport
        assert old is not None
        forgotten = link.detach()  # the client's host lost it, the scheduler's didn't notice
        client.endpoint.lost(link, "a change of networks")
        await until(lambda: link.transport is not None)
        await until(old.is_closing)
        client.endpoint.send(SCHEDULER, release(1))
        await until(lambda: scheduler.got)
        assert scheduler.left == []
        assert forgotten is not None
        for node in (client, scheduler):
            await node.endpoint.close()

    run(main())


def test_a_new_session_of_the_same_process_replaces_the_old_one() -> None:
    async def main() -> None:
        scheduler, first, second = Node("scheduler"), Node("client"), Node("client")
        address = await scheduler.listen("tcp://127.0.0.1:0")
        await first.connect(address)
        await second.connect(address)
        await until(lambda: len(scheduler.joined) == 2 and first.left)
        assert scheduler.left == [(CLIENT, "it began a new session")]
        second.endpoint.send(SCHEDULER, release(1))
        await until(lambda: scheduler.got)
        for node in (first, second, scheduler):
            await node.endpoint.close()

    run(main())


@pytest.mark.parametrize("role", ["client", "nanny"])
@pytest.mark.parametrize("resume", [False, True])
def test_another_process_with_the_same_key_can_not_take_a_session_over(role: str, resume: bool) -> None:
    async def main() -> None:
        scheduler, owner, thief = Node("scheduler"), Node(role), Node(role)
        address = await scheduler.listen("tcp://127.0.0.1:0")
        await owner.connect(address)
        (link,) = scheduler.endpoint._links.values()
        greeting = thief.endpoint._greeting(session=link.session_id, resume=resume)
        for secret in (b"another process", b""):
            with pytest.raises(HandshakeError, match="is the name of another process, which has its session here"):
                await open_authenticated(
                    address,
                    greeting=dataclasses.replace(greeting, name_secret=secret),
                    credentials=CREDENTIALS,
                    roles=("scheduler",),
                    protocol_factory=lambda _: asyncio.Protocol(),
                    timeout=2.0,
                )
        assert scheduler.left == []
        assert scheduler.endpoint.is_connected(owner.me)
        for node in (owner, thief, scheduler):
            await node.endpoint.close()

    run(main())


def test_a_peer_can_not_take_the_name_of_another_role_s() -> None:
    async def main() -> None:
        scheduler, nanny, client = Node("scheduler"), Node("nanny"), Node("client", "nanny-1")
        address = await scheduler.listen("tcp://127.0.0.1:0")
        await nanny.connect(address)
        with pytest.raises(OSError, match="nanny-1 is the name of another process"):
            await client.connect(address)
        assert scheduler.left == []
        for node in (nanny, client, scheduler):
            await node.endpoint.close()

    run(main())


def test_one_alias_names_one_session() -> None:
    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        address = await scheduler.listen("tcp://127.0.0.1:0")
        await client.connect(address)
        with pytest.raises(UsageError, match="there is a session with scheduler already"):
            await client.connect(address)
        for node in (client, scheduler):
            await node.endpoint.close()

    run(main())


def test_a_role_may_only_send_what_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scheduler, client, nanny = Node("scheduler"), Node("client"), Node("nanny")
        address = await scheduler.listen("tcp://127.0.0.1:0")
        await client.connect(address)
        await nanny.connect(address)
        await until(lambda: len(scheduler.joined) == 2)
        beat = Heartbeat(HostMetrics(), (0, 0), (0, 0), 0)
        client.endpoint.send(SCHEDULER, beat)
        await until(lambda: scheduler.left and client.left)
        assert scheduler.left[0][0] == CLIENT
        assert "sent something invalid" in client.left[0][1]
        nanny.endpoint.send(SCHEDULER, beat)
        await until(lambda: scheduler.got)
        assert scheduler.got == [beat]
        for node in (client, nanny, scheduler):
            await node.endpoint.close()

    with caplog.at_level(logging.ERROR, "himalia.comm"):
        run(main())
    (record,) = caplog.records
    assert "the session with client-1 (client) ends because it sent something invalid" in record.getMessage()


@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"\x00" * 100, HEADER.pack(16 + 3, 1, 0) + b"\xc1\xc1\xc1"])
def test_garbage_after_the_handshake_ends_that_session_only(garbage: bytes) -> None:
    async def main() -> None:
        scheduler, bad, good = Node("scheduler"), Node("client", "client-bad"), Node("client")
        address = await scheduler.listen("tcp://127.0.0.1:0")
        await bad.connect(address)
        await good.connect(address)
        transport = bad.endpoint._links[SCHEDULER].transport
        assert transport is not None
        transport.write(garbage)
        await until(lambda: scheduler.left and bad.left)
        assert scheduler.left[0][0] == "client-bad"
        good.endpoint.send(SCHEDULER, release(1))
        await until(lambda: scheduler.got)
        for node in (bad, good, scheduler):
            await node.endpoint.close()

    run(main())


def test_a_handler_that_fails_ends_no_session(caplog: pytest.LogCaptureFixture) -> None:
    def fail(self: Recorder, peer: PeerId, messages: list[object]) -> None:
        self.got += messages
        raise ValueError("a bug")

    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        scheduler.messages_received = fail.__get__(scheduler)  # type: ignore[method-assign]
        await client.connect(await scheduler.listen("tcp://127.0.0.1:0"))
        for number in range(2):
            client.endpoint.send(SCHEDULER, release(number))
            client.endpoint.flush()
            await until(lambda: scheduler.got[-1:] == [release(number)])  # noqa: B023 (awaited within the turn)
        assert scheduler.left == []
        for node in (client, scheduler):
            await node.endpoint.close()

    run(main())
    assert "the handler failed on 1 messages of client-1" in caplog.text


def test_a_message_that_can_not_be_sent_is_answered_here_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        await client.connect(await scheduler.listen("tcp://127.0.0.1:0"))
        client.endpoint.send(SCHEDULER, Explain(1, object()))  # type: ignore[arg-type]
        client.endpoint.send(SCHEDULER, release(1))
        await until(lambda: scheduler.got)
        assert scheduler.got == [release(1)]
        await until(lambda: client.got)
        (reply,) = client.got
        assert (type(reply), reply.request) == (Reply, 1)
        assert reply.error.startswith("it can't be sent")
        for node in (client, scheduler):
            await node.endpoint.close()

    run(main())
    assert "a Explain to scheduler can't be sent as it is" in caplog.text


def test_a_closed_endpoint_says_so() -> None:
    async def main() -> None:
        client = Node("client", credentials=CREDENTIALS)
        await client.endpoint.close()
        with pytest.raises(UsageError, match="closed"):
            await client.connect("tcp://127.0.0.1:1")

    run(main())
