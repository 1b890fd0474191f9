"""The ledger of actions: what was asked for, by whom, what came of it. One row an order; its id makes it once."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.action import ActionState, Order
from watchkeeper.store.records.tables import actions

OPEN = ("due", "undoing")


class ActionRow(msgspec.Struct, frozen=True):
    """An order and how it stands. `says` is what the lever said last; `memory` what taking it back needs; `history` who
    asked for what and when, oldest first."""

    id: str
    state: ActionState
    attempts: int
    next_attempt_ns: int
    order: Order
    says: str = ""
    memory: dict[str, Any] = {}
    history: list[dict[str, Any]] = []

    @property
    def was(self) -> ActionState:
        """What it is again when taking it back fails: `done`, or `failed` when it was withdrawn while it was being tried."""
        ends = [h["what"] for h in self.history if h["what"] in ("done", "failed", "undone")]
        return "done" if ends and ends[-1] == "done" else "failed"


def _row(found: sa.RowMapping) -> ActionRow:
    document = found["document"]
    return ActionRow(
        found["id"], found["state"], found["attempts"], found["next_attempt_ns"],
        msgspec.convert(document["order"], Order), document.get("says", ""), document.get("memory", {}),
        document.get("history", []),
    )  # fmt: skip


def ask(conn: Connection, order: Order, now_ns: int, dry: bool = False, says: str = "") -> bool:
    """Write an order down; False when the same one is there already, whatever became of it."""
    if get(conn, order.project, order.id) is not None:
        return False
    history = [{"at_ns": now_ns, "what": "dry run" if dry else "asked", "actor": order.actor}]
    document = {"order": msgspec.to_builtins(order), "says": says, "memory": {}, "history": history}
    conn.execute(
        sa.insert(actions).values(
            id=order.id, project=order.project, alert_id=order.alert_id, incident_id=order.incident_id,
            type=order.type, state="dry" if dry else "due", attempts=0, created_ns=now_ns,
            next_attempt_ns=now_ns, document=document,
        )
    )  # fmt: skip
    return True


def get(conn: Connection, project: str, order_id: str) -> ActionRow | None:
    """One order, or None."""
    query = sa.select(actions).where(actions.c.project == project, actions.c.id == order_id)
    found = conn.execute(query).mappings().first()
    return None if found is None else _row(found)


def find(
    conn: Connection,
    project: str,
    alert_ids: tuple[str, ...] | None = None,
    limit: int = 100,
    since_ns: int = 0,
) -> list[ActionRow]:
    """Orders, latest first; only those about some alerts or since a time when given."""
    query = sa.select(actions).where(actions.c.project == project, actions.c.created_ns >= since_ns)
    if alert_ids is not None:
        query = query.where(actions.c.alert_id.in_(alert_ids))
    query = query.order_by(actions.c.created_ns.desc(), actions.c.id).limit(limit)
    return [_row(r) for r in conn.execute(query).mappings()]


def claim(conn: Connection, now_ns: int, lease_ns: int, limit: int = 20) -> list[ActionRow]:
    """Take what is due; nobody else gets it until the lease is over. Each taking counts as an attempt."""
    query = sa.select(actions).where(actions.c.state.in_(OPEN), actions.c.next_attempt_ns <= now_ns)
    taken: list[ActionRow] = []
    for found in conn.execute(query.order_by(actions.c.next_attempt_ns).limit(limit)).mappings():
        here = sa.and_(
            actions.c.id == found["id"],
            actions.c.state == found["state"],
            actions.c.next_attempt_ns == found["next_attempt_ns"],
        )
        values = {"next_attempt_ns": now_ns + lease_ns, "attempts": found["attempts"] + 1}
        if conn.execute(sa.update(actions).where(here).values(**values)).rowcount == 1:
            taken.append(_row({**found, **values}))  # pyright: ignore[reportArgumentType]
    return taken


def settle(
    conn: Connection, row: ActionRow, state: str, says: str, now_ns: int, memory: dict[str, Any] | None = None
) -> bool:
    """Record what came of a claimed order; False when somebody else has settled it meanwhile."""
    line = {"at_ns": now_ns, "what": state, "actor": "watchkeeper"}
    document = {
        "order": msgspec.to_builtins(row.order), "says": says,
        "memory": row.memory if memory is None else memory, "history": [*row.history, line],
    }  # fmt: skip
    here = sa.and_(actions.c.id == row.id, actions.c.state == row.state)
    return conn.execute(sa.update(actions).where(here).values(state=state, document=document)).rowcount == 1


def postpone(conn: Connection, row: ActionRow, until_ns: int, says: str) -> None:
    """Try again later."""
    document = {
        "order": msgspec.to_builtins(row.order),
        "says": says,
        "memory": row.memory,
        "history": row.history,
    }
    here = sa.and_(actions.c.id == row.id, actions.c.state == row.state)
    conn.execute(sa.update(actions).where(here).values(next_attempt_ns=until_ns, document=document))


def again(conn: Connection, row: ActionRow, state: str, now_ns: int, actor: str) -> bool:
    """Ask for an order to be done again (`due`) or taken back (`undoing`); False when it has moved meanwhile. One that may
    be on its way is taken back no earlier than it would be tried again, lest the undo overtake it; one that was never tried
    is withdrawn (`undone`) and nobody hears of it."""
    withdrawn = row.state == "due" and state == "undoing"
    order = msgspec.structs.replace(row.order, round=row.order.round + (row.state == "undone"))
    history = [
        *row.history,
        {"at_ns": now_ns, "what": "undo asked" if state == "undoing" else "asked again", "actor": actor},
    ]
    says = row.says
    if withdrawn and row.attempts == 0:
        state, says = "undone", "withdrawn before it was tried"
        history.append({"at_ns": now_ns, "what": "undone", "actor": "watchkeeper"})
    document = {"order": msgspec.to_builtins(order), "says": says, "memory": row.memory, "history": history}
    here = sa.and_(
        actions.c.id == row.id, actions.c.state == row.state, actions.c.next_attempt_ns == row.next_attempt_ns
    )
    due_ns = max(now_ns, row.next_attempt_ns) if withdrawn else now_ns
    values = {"state": state, "attempts": 0, "next_attempt_ns": due_ns, "document": document}
    return conn.execute(sa.update(actions).where(here).values(**values)).rowcount == 1
