"""What this process keeps in memory of records that other processes change too."""

import contextlib
from collections.abc import Sequence

from sqlalchemy.engine import Connection

from watchkeeper.compose.configured import Scoring
from watchkeeper.compose.flows import Flows
from watchkeeper.model.managed import Managed
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records import access, erasure, managed, trained


class Together:
    """Managed configuration, classifiers, pauses, erased traces and projects, as the records have them."""

    def __init__(self, flows: Flows, scoring: Scoring) -> None:
        self._flows, self._scoring = flows, scoring
        self._managed: Sequence[Managed] | None = None
        self._trained: Sequence[tuple[str, str, int, str]] | None = None
        self._erased: tuple[int, int] | None = None

    async def once(self) -> None:
        """Take over what is new since the last look; the first one takes all of it."""
        flows = self._flows
        erased = await flows.records.read(erasure.mark)
        if erased != self._erased:
            await flows.erasing.start()
            self._erased = erased
        running = await flows.records.read(trained.running_names)
        if running != self._trained:
            await self._scoring.take_trained(flows.records)
            self._trained = running
        found = await flows.records.read(managed.find)
        if found != self._managed:
            # Before it is used: what does not fit beside this process's own file is said once.
            self._managed = found
            flows.holder.manage(found)
        await flows.pauses.refresh_all()
        await self.note_projects()

    async def note_projects(self) -> None:
        """A project is one from its first record on, whoever named it: a key, a header or a resource. Noted, it is on the pages
        and watched, also by other processes and after a restart."""
        flows = self._flows
        known = await flows.records.read(access.list_projects)
        flows.known = tuple(known)
        fresh = [name for name in flows.projects() if name not in known]
        if not fresh:
            return

        def note(conn: Connection) -> None:
            for name in fresh:
                access.ensure_project(conn, name, flows.clock())

        # With a full disk the server starts all the same, and this is tried again at the next look.
        with contextlib.suppress(StoreUnavailable):
            await flows.records.write(note)
