"""Forwarding made and run: its own way out, which follows the configuration."""

import contextlib
import random
from collections.abc import AsyncGenerator

from watchkeeper.compose.flows import Flows
from watchkeeper.config import adapters
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.models import Config
from watchkeeper.egress.http import Egress
from watchkeeper.pipeline.forward import ForwardFlow
from watchkeeper.server.metrics import Sample
from watchkeeper.server.services import Sampler


def sampler(flow: ForwardFlow) -> Sampler:
    """Backlog, lag and counts of every target for `/metrics`."""

    async def read() -> list[Sample]:
        return [Sample(*s) for s in await flow.samples()]

    return read


@contextlib.asynccontextmanager
async def forwarding(flows: Flows, holder: ConfigHolder) -> AsyncGenerator[ForwardFlow]:
    """What forwards once it is started; what was not acknowledged by the end is sent after the next start."""
    egress = Egress(adapters.egress_of(holder.current))
    flow = ForwardFlow(
        flows.columns,
        flows.records,
        flows.clock,
        flows.settled_ns,
        egress.request,
        random.random,
        flows.columns.erased,
    )

    def use(config: Config) -> None:
        egress.policy = adapters.egress_of(config)
        flow.use(adapters.forward_of(config))

    holder.follow(use)
    try:
        yield flow
    finally:
        await flow.close()
        await egress.close()
