"""Threads that send without the loop: nothing is lost, doubled or overtaken, whatever the loop sends meanwhile."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

from himalia.messages.client import Explain, ReleaseKeys
from himalia.names import SCHEDULER, Key
from tests.unit.comm.stage import LOOP_NAMES, LOOPS, Loop, Node, Relay, run
from tests.waiting import until


def numbered(thread: int, number: int, size: int) -> ReleaseKeys:
    padding = [Key("x" * min(size, 10_000))] * max(1, size // 10_000)
    return ReleaseKeys([Key(str(thread)), Key(str(number)), *padding])


class Sender(threading.Thread):
    """Sends numbered messages: by itself where it may, else through the loop, waiting until that has taken them."""

    def __init__(self, node: Node, name: int, count: int, sizes: list[int]) -> None:
        super().__init__(daemon=True)
        self.node, self.number, self.count, self.sizes = node, name, count, sizes
        self.loop = asyncio.get_running_loop()
        self.by_itself = 0

    def run(self) -> None:
        for number in range(self.count):
            message = numbered(self.number, number, self.sizes[number % len(self.sizes)])
            if self.node.endpoint.express(SCHEDULER, [message]):
                self.by_itself += 1
                continue
            taken = threading.Event()

            def send(message: ReleaseKeys = message, taken: threading.Event = taken) -> None:
                self.node.endpoint.send(SCHEDULER, message)
                taken.set()

            self.loop.call_soon_threadsafe(send)
            taken.wait(10)


def numbers_of(node: Node, thread: int) -> list[int]:
    found = [message.keys for message in node.got if isinstance(message, ReleaseKeys)]
    return [int(keys[1]) for keys in found if keys[0] == str(thread)]


async def joined(scheduler: Node, client: Node) -> None:
    await until(lambda: scheduler.joined and client.joined)
    await until(lambda: client.endpoint._links[SCHEDULER].direct)  # the handshake has left the transport


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
@pytest.mark.parametrize("sizes", [[10], [10, 10, 10, 400_000], [2_000_000, 5]], ids=["small", "mixed", "large"])
def test_order_is_kept_while_threads_and_the_loop_send(sizes: list[int], loop: Loop) -> None:
    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        await client.connect(await scheduler.listen("tcp://127.0.0.1:0"))
        await joined(scheduler, client)
        count = 400 if sizes == [10] else 60
        senders = [Sender(client, thread, count, sizes) for thread in range(3)]
        for sender in senders:
            sender.start()
        asked = 0
        while any(sender.is_alive() for sender in senders):
            client.endpoint.send(SCHEDULER, Explain(asked, Key("loop")))
            asked += 1
            taken = len(scheduler.got)
            await until(lambda: len(scheduler.got) > taken)  # noqa: B023 (awaited within the turn)
        await until(lambda: len(scheduler.got) >= 3 * count + asked)
        for thread in range(3):
            assert numbers_of(scheduler, thread) == list(range(count))
        assert [message.request for message in scheduler.got if isinstance(message, Explain)] == list(range(asked))
        if sizes == [10]:
            assert sum(sender.by_itself for sender in senders) > 0
        await client.endpoint.close()
        await scheduler.endpoint.close()

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_when_the_connection_breaks(seed: int, loop: Loop) -> None:
    async def main() -> None:
        scheduler, client = Node("scheduler"), Node("client")
        relay = Relay(await scheduler.listen("tcp://127.0.0.1:0"))
        await client.connect(await relay.open())
        await joined(scheduler, client)
        chance = random.Random(seed)
        sender = Sender(client, 0, 300, [10, 3000, 50_000])
        sender.start()
        for _ in range(8):
            more = min(300, len(scheduler.got) + chance.randrange(1, 30))
            await until(lambda: len(scheduler.got) >= more)  # noqa: B023 (awaited within the turn)
            relay.cut()
        await until(lambda: len(scheduler.got) >= 300)
        assert numbers_of(scheduler, 0) == list(range(300))
        sender.join(10)
        await client.endpoint.close()
        await scheduler.endpoint.close()
        await relay.close()

    run(main(), loop)


def test_a_link_over_tls_leaves_everything_to_the_loop() -> None:
    from himalia.comm.security import Credentials, make_certificate

    async def main() -> None:
        certificate = make_certificate(["127.0.0.1"])
        pinned = Credentials("c1", b"s" * 32, certificate.fingerprint)
        scheduler, client = Node("scheduler", credentials=pinned), Node("client", credentials=pinned)
        await client.connect(await scheduler.listen("tls://127.0.0.1:0", certificate))
        await until(lambda: scheduler.joined and client.joined)
        assert not client.endpoint.express(SCHEDULER, [numbered(0, 0, 1)])
        await client.endpoint.close()
        await scheduler.endpoint.close()

    run(main())
