"""What a server does when more is sent than it can take (goals O1, O2 and D8 of the reliability design), from outside.

    python -m bench.overload [--seconds 20] [--connections 64] [--batch 25] [--gzip] [--burst 60000] [--only-overload] [--dir D]

A server of its own is started and filled over kept-alive connections: first its capacity C, then ten times that, then, on a
fresh server, a project at twenty times its quota beside four quiet ones, and last half of C. The client shares the machine:
its bodies are made once, and only the ids in them change. `--burst` sends so many spans as fast as they are taken, eight
writers at a time, and prints the memory only.
"""

import argparse
import asyncio
import gzip
import math
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.ingest import SPANS_PER_TRACE, Traffic, children, in_folder
from tests.serving import Server

MB = 1 << 20
# Stands in every made trace id and is replaced by the number of the request, so that each request has ids of its own.
MARK = b"\xf5WKMARK\xf5"
WARM_SECONDS, CAPACITY_SECONDS, QUIET_SECONDS = 4.0, 10.0, 15.0
QUOTA = 400_000


def memory(server: Server) -> dict[str, float]:
    """Resident megabytes of the server: now, at most, how much of it is its own or pages of files; and of the processes beside
    it."""
    assert server.process is not None
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    wanted = ("VmRSS", "VmHWM", "RssAnon", "RssFile")
    found = {x.split(":")[0]: int(x.split()[1]) / 1024 for x in lines if x.startswith(wanted)}
    return {**found, "beside": children(server.process.pid)[1]}


def processed(server: Server) -> float:
    """CPU seconds of the server and the processes beside it until now."""
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + children(server.process.pid)[0]


class MarkedTraffic(Traffic):
    """The traffic of `bench.ingest` whose trace ids begin with `MARK`."""

    def body(self, spans: int) -> bytes:
        """One export request of about so many spans."""
        request = ExportTraceServiceRequest.FromString(super().body(spans))
        for span in request.resource_spans[0].scope_spans[0].spans:
            span.trace_id = MARK + span.trace_id[8:]
        return request.SerializeToString()


@dataclass
class Heard:
    """What the server answered; times in seconds."""

    statuses: Counter[str] = field(default_factory=Counter[str])
    accepted_s: list[float] = field(default_factory=list[float])
    refused_s: list[float] = field(default_factory=list[float])
    waits: Counter[str] = field(default_factory=Counter[str])
    acknowledged: list[int] = field(default_factory=list[int])
    spans: int = 0
    peaks: dict[str, float] = field(default_factory=dict[str, float])


class Sender:
    """One connection of one project."""

    numbers = 0

    def __init__(self, port: int, bodies: list[bytes], spans: int, heard: Heard, project: str = "default",
                 packed: bool = False) -> None:  # fmt: skip
        self.port, self.bodies, self.spans, self.heard, self.project = port, bodies, spans, heard, project
        self.packed = packed
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def _request(self) -> tuple[int, bytes]:
        number = Sender.numbers = Sender.numbers + 1
        body = self.bodies[number % len(self.bodies)].replace(MARK, number.to_bytes(8, "big"))
        if self.packed:
            body = gzip.compress(body, 1)
        head = (
            f"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/x-protobuf\r\n"
            f"x-watchkeeper-project: {self.project}\r\ncontent-length: {len(body)}\r\n"
            f"{'content-encoding: gzip' if self.packed else 'accept: */*'}\r\n\r\n"
        )
        return number, head.encode() + body

    async def _answer(self, request: bytes) -> tuple[str, str]:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        lines = dict(x.split(": ", 1) for x in head.split("\r\n")[1:] if ": " in x)
        await reader.readexactly(int(lines.get("content-length", 0)))
        # What is left of a refused request goes out before the next: as a client of one connection does.
        await writer.drain()
        if lines.get("connection") == "close":
            self.close()
        return head.split(" ", 2)[1], lines.get("retry-after", "")

    async def once(self) -> str:
        """Send one request; its status, or the kind of the failure."""
        number, request = self._request()
        began = time.perf_counter()
        try:
            status, wait = await self._answer(request)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            status, wait = type(error).__name__, ""
        took, heard = time.perf_counter() - began, self.heard
        heard.statuses[status] += 1
        if status == "200":
            heard.accepted_s.append(took)
            heard.acknowledged.append(number)
            heard.spans += self.spans
        elif status in ("429", "503"):
            heard.refused_s.append(took)
            heard.waits[wait] += 1
        return status

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None

    async def run(self, until: float, every: float, patience: float) -> None:
        """Send a request every so many seconds (0: at once) until then, and wait so long after a refusal."""
        # Not all at the same moment.
        Sender.numbers += 1
        due = time.perf_counter() + every * (Sender.numbers * 0.618 % 1)
        while (now := time.perf_counter()) < until:
            if every and due > now:
                await asyncio.sleep(min(due, until) - now)
                continue
            due = max(due + every, now - 1.0)
            if await self.once() != "200":
                await asyncio.sleep(patience)
        self.close()


async def watched(server: Server, heard: Heard, until: float) -> None:
    """Note the largest figures of the server's memory."""
    while time.perf_counter() < until:
        for name, value in memory(server).items():
            heard.peaks[name] = max(heard.peaks.get(name, 0.0), value)
        await asyncio.sleep(0.1)


async def load(
    server: Server, make: Callable[[Heard], list[tuple[Sender, float, float]]], seconds: float
) -> Heard:
    """Run senders, each with its interval and patience, for so many seconds."""
    heard = Heard()
    until = time.perf_counter() + seconds
    watching = asyncio.create_task(watched(server, heard, until))
    await asyncio.gather(*(s.run(until, every, patience) for s, every, patience in make(heard)))
    await watching
    return heard


def quantile(values: list[float], q: float) -> float:
    """Milliseconds."""
    return sorted(values)[min(len(values) - 1, math.floor(q * len(values)))] * 1e3 if values else math.nan


async def recovered(server: Server, bodies: list[bytes], spans: int) -> tuple[float, Heard]:
    """Seconds until ten requests in a row are taken."""
    heard, began, row = Heard(), time.perf_counter(), 0
    sender = Sender(server.port, bodies, spans, heard)
    first = 0.0
    while row < 10 and time.perf_counter() - began < 60:
        if row == 0:
            first = time.perf_counter() - began
        row = row + 1 if await sender.once() == "200" else 0
        await asyncio.sleep(0.05)
    sender.close()
    return first, heard


def stored(server: Server) -> dict[int, int]:
    """Spans by the number of their request, read over SQL."""
    found: dict[int, int] = {}
    for low in range(0, Sender.numbers + 1, 4096):
        # A request's number is the first eight bytes of its traces' ids.
        rows = server.sql(
            "select substring(trace_id, 1, 16) as request, count() as n from spans "
            f"where trace_id >= '{low:016x}' and trace_id < '{low + 4096:016x}' group by request limit 5000"
        )
        found.update({int(row["request"], 16): int(row["n"]) for row in rows})
    return found


def said(name: str, heard: Heard, seconds: float) -> None:
    """Print what was heard."""
    print(
        f"{name:18} accepted {heard.spans / seconds:7,.0f} spans/s; ack p50 {quantile(heard.accepted_s, 0.5):.0f} ms, "
        f"p99 {quantile(heard.accepted_s, 0.99):.0f} ms; answers {dict(heard.statuses)}"
    )
    if heard.refused_s:
        print(
            f"{'':18} refusals p50 {quantile(heard.refused_s, 0.5):.1f} ms, p99 {quantile(heard.refused_s, 0.99):.1f} ms, "
            f"at most {max(heard.refused_s) * 1e3:.0f} ms; Retry-After {dict(heard.waits)}"
        )
    peaks = heard.peaks
    print(
        f"{'':18} memory at most {peaks['VmHWM']:.0f} MB ({peaks['RssAnon']:.0f} its own, {peaks['RssFile']:.0f} pages of files), "
        f"{peaks['beside']:.0f} MB beside it",
        flush=True,
    )


def bodies_of(batch: int) -> list[bytes]:
    """Requests of about so many spans. Made once a server runs: what began before it, it would ask the store about."""
    traffic = MarkedTraffic()
    return [traffic.body(batch) for _ in range(32)]


async def overload(args: argparse.Namespace, folder: Path, spans: int) -> float:
    """Capacity, ten times that, recovery, and what is stored. Returns the capacity, spans/s."""
    with Server(folder / "overload") as server:
        bodies = bodies_of(args.batch)
        await asyncio.sleep(2)
        idle = memory(server)
        print(
            f"idle: {idle['VmRSS']:.0f} MB ({idle['RssAnon']:.0f} its own, {idle['RssFile']:.0f} pages of files)"
        )

        def writers(heard: Heard, n: int, every: float, patience: float) -> list[tuple[Sender, float, float]]:
            made = [Sender(server.port, bodies, spans, heard, packed=args.gzip) for _ in range(n)]
            return [(s, every, patience) for s in made]

        everything = [await load(server, lambda h: writers(h, 8, 0, 0.05), WARM_SECONDS)]
        calm = await load(server, lambda h: writers(h, 8, 0, 0.05), CAPACITY_SECONDS)
        everything.append(calm)
        said("capacity", calm, CAPACITY_SECONDS)
        capacity = calm.spans / CAPACITY_SECONDS
        every = args.connections * spans / (10 * capacity)
        storm = await load(server, lambda h: writers(h, args.connections, every, 0), args.seconds)
        everything.append(storm)
        said("ten times that", storm, args.seconds)
        offered = storm.statuses.total() * spans / args.seconds
        print(
            f"{'':18} offered {offered / capacity:.1f} × C; accepted {storm.spans / args.seconds / capacity:.0%} of C"
        )
        seconds, after = await recovered(server, bodies, spans)
        everything.append(after)
        print(f"back to normal     after {seconds:.1f} s")
        wanted = Counter(number for h in everything for number in h.acknowledged)
        there = stored(server)
        lost = [n for n in wanted if there.get(n) != spans]
        print(f"acknowledged       {len(wanted):,} requests, {len(lost)} lost or not whole")
        await asyncio.sleep(30)
        later = memory(server)
        print(
            f"30 s later: {later['VmRSS']:.0f} MB ({later['RssAnon']:.0f} its own), at most {later['VmHWM']:.0f} MB"
        )
    return capacity


async def fairness(args: argparse.Namespace, folder: Path, spans: int) -> None:
    """One project at twenty times its quota beside four that send a little."""
    config = folder / "quota.yaml"
    config.write_text(f"server:\n  limits:\n    per_project: {QUOTA}\n")
    loud_ones = 16
    with Server(folder / "fairness", "--config", str(config)) as server:
        bodies = bodies_of(args.batch)
        size = statistics.fmean(map(len, bodies))

        def quiet(heard: Heard) -> list[tuple[Sender, float, float]]:
            pace = size / (QUOTA / 2)
            return [(Sender(server.port, bodies, spans, heard, f"quiet{n}"), pace, 0.0) for n in range(4)]

        loud_heard = Heard()

        def both(heard: Heard) -> list[tuple[Sender, float, float]]:
            pace = loud_ones * size / (20 * QUOTA)
            made = [Sender(server.port, bodies, spans, loud_heard, "loud") for _ in range(loud_ones)]
            return quiet(heard) + [(s, pace, 0.0) for s in made]

        await load(server, quiet, WARM_SECONDS)
        alone = await load(server, quiet, QUIET_SECONDS)
        beside = await load(server, both, QUIET_SECONDS)
        said("quiet, alone", alone, QUIET_SECONDS)
        said("quiet, beside", beside, QUIET_SECONDS)
        loud_heard.peaks = beside.peaks
        said("loud, 20 × quota", loud_heard, QUIET_SECONDS)
        ratio = quantile(beside.accepted_s, 0.99) / quantile(alone.accepted_s, 0.99)
        print(f"fairness           ack p99 of the quiet ones × {ratio:.2f}")


async def half(args: argparse.Namespace, folder: Path, spans: int, capacity: float) -> None:
    """Half of the capacity, on eight connections."""
    with Server(folder / "half") as server:
        bodies = bodies_of(args.batch)
        every = 8 * spans / (0.5 * capacity)

        def writers(heard: Heard) -> list[tuple[Sender, float, float]]:
            made = [Sender(server.port, bodies, spans, heard, packed=args.gzip) for _ in range(8)]
            return [(s, every, 0.0) for s in made]

        await load(server, writers, WARM_SECONDS)
        said("half of C", await load(server, writers, QUIET_SECONDS), QUIET_SECONDS)


async def burst(args: argparse.Namespace, folder: Path, spans: int) -> None:
    """So many spans as fast as they are taken."""
    with Server(folder / "burst") as server:
        bodies = bodies_of(args.batch)
        await asyncio.sleep(2)
        before, heard, left = memory(server), Heard(), [args.burst // spans]

        async def writer(sender: Sender) -> None:
            while left[0] > 0:
                left[0] -= 1
                while await sender.once() != "200":  # noqa: ASYNC110 - as a client would
                    await asyncio.sleep(0.05)

        watching = asyncio.create_task(watched(server, heard, math.inf))
        began = time.perf_counter()
        await asyncio.gather(
            *(writer(Sender(server.port, bodies, spans, heard, packed=args.gzip)) for _ in range(8))
        )
        took = time.perf_counter() - began
        await asyncio.sleep(5)
        watching.cancel()
        print(f"idle {before['VmRSS']:.0f} MB")
        said(f"burst of {args.burst:,}", heard, took)
        print(
            f"{'':18} {processed(server) * 1e6 / heard.spans:.0f} µs of CPU a span, the server's start included"
        )


async def run(args: argparse.Namespace, folder: Path) -> None:
    """Everything that was asked for."""
    spans = max(1, args.batch // SPANS_PER_TRACE) * SPANS_PER_TRACE
    print(f"requests of {spans} spans, {statistics.fmean(map(len, bodies_of(args.batch))) / 1000:.0f} kB")
    if args.burst:
        await burst(args, folder, spans)
        return
    capacity = await overload(args, folder, spans)
    if not args.only_overload:
        await fairness(args, folder, spans)
        await half(args, folder, spans, capacity)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--burst", type=int, default=0)
    parser.add_argument("--only-overload", action="store_true")
    in_folder(parser, run)


if __name__ == "__main__":
    main()
