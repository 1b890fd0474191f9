"""Response actions as data: what the configuration wants done about an alert, and what was asked for."""

from typing import Any, Literal

import msgspec

ActionType = Literal["webhook", "open_reviews", "pause", "mark_release"]
# What becomes of an order: due → done, or failed with its reason; done → undoing → undone. A dry one is only said.
ActionState = Literal["due", "done", "failed", "undoing", "undone", "dry"]


class ActionSpec(msgspec.Struct, frozen=True):
    """One action of a monitor. `when`: the state of the alert that asks for it. `automatic` False: only by hand. `revert`:
    taken back when the alert resolves. `params` are the lever's own and hold no secret."""

    name: str
    type: ActionType
    when: Literal["firing", "resolved"] = "firing"
    automatic: bool = True
    dry_run: bool = False
    revert: bool = False
    params: dict[str, Any] = {}


class Order(msgspec.Struct, frozen=True):
    """One action asked for. `id` is the same for the same action and alert, however often it is asked; a lever that is
    pulled twice for one id does it once. `alert` is the alert as it was then, as plain data. `round`
    counts how often it was asked for anew after it had been taken back."""

    id: str
    project: str
    name: str
    type: ActionType
    actor: str
    created_ns: int
    params: dict[str, Any] = {}
    alert_id: str | None = None
    incident_id: str | None = None
    alert: dict[str, Any] = {}
    revert: bool = False
    round: int = 0
