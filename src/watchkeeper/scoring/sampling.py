"""Which traces the expensive scorers see, and with what probability (requirements S1, S2).

One salted hash per trace decides for all policies, so every node agrees and policies nest: u = xxhash64(salt‖trace_id) / 2⁶⁴,
chosen iff u < π with π = the largest probability among the policies that match.
"""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
import xxhash

ALWAYS = (
    "error",
    "timeout",
    "tool_failure",
    "guard",
    "policy_deny",
    "step_cap",
    "low_confidence",
    "thumbs_down",
    "escalation",
    "low_score",
)
SIGNAL = "signal:"


class Policy(msgspec.Struct, frozen=True):
    """One sampling rule. It matches when every entry of `where` equals the trace's dimension, the dimension `has` (if any)
    is known, `flag` (if any) is raised and the outlier bounds (if any) are exceeded; `probability` is then offered. No condition: every trace."""

    name: str
    probability: float
    where: dict[str, str] = {}
    has: str | None = None
    flag: str | None = None
    min_cost: float | None = None
    min_latency_ms: float | None = None


class Sampled(msgspec.Struct, frozen=True):
    """What sampling looks at: dimensions (scenario, model, prompt_version, region, …), raised flags, cost, latency.

    `observed` is the probability with which the evidence for a flag was seen, 1 where it is not named: a low score of a
    judge that saw 5 % of traffic is known for 5 % of the traces that deserve it, and no policy can offer more than that.
    """

    trace_id: str
    dims: dict[str, str] = {}
    flags: frozenset[str] = frozenset()
    cost: float | None = None
    latency_ms: float | None = None
    observed: dict[str, float] = {}


class Decision(msgspec.Struct, frozen=True):
    """The stored decision. `probability` is π of this product's sampling, by whose inverse an estimate weighs, times that of what
    was sampled upstream. π = 0 is never selected: such a trace matched no policy, and estimates describe only traces with π > 0."""

    selected: bool
    probability: float
    u: float
    policy: str
    matched: tuple[str, ...]
    version: str


class Sampler:
    """A set of policies under one salt. Two samplers with the same version decide alike everywhere."""

    def __init__(self, policies: Sequence[Policy], salt: str) -> None:
        """Raises ValueError naming the policy whose probability is not in (0, 1] or whose flag does not exist."""
        seen: set[str] = set()
        for policy in policies:
            if not 0.0 < policy.probability <= 1.0:
                raise ValueError(
                    f"sampling policy {policy.name!r}: probability {policy.probability} must be above 0 and at most 1;"
                    " leave the policy out to sample nothing"
                )
            if policy.flag is not None and policy.flag not in ALWAYS and not policy.flag.startswith(SIGNAL):
                raise ValueError(
                    f"sampling policy {policy.name!r}: {policy.flag!r} is not allowed; one of {', '.join(ALWAYS)},"
                    f" or {SIGNAL}NAME"
                )
            if policy.name in seen:
                raise ValueError(f"sampling policy {policy.name!r} is given twice")
            seen.add(policy.name)
        self.policies = tuple(policies)
        self._salt = salt.encode()
        document = msgspec.json.encode([self.policies, salt], order="deterministic")
        self.version = hashlib.sha256(document).hexdigest()[:12]

    def u(self, trace_id: str) -> float:
        """The trace's place in [0, 1). The salt keeps it independent of upstream sampling on the same id."""
        return xxhash.xxh64_intdigest(self._salt + trace_id.encode()) / 2.0**64

    def decide(self, facts: Sampled, pace: float = 1.0) -> Decision:
        """The decision for one trace. `pace` in (0, 1] scales what policies without a flag offer, where a budget does not reach for
        all of it."""
        return self._decided([p for p in self.policies if _matches(p, facts)], facts, pace)

    def offers(self, facts: Sampled) -> tuple[float, float]:
        """The largest probability that policies without a flag offer, and that those with one do; 0 where none matches."""
        made = [(p.flag is not None, _offer(p, facts)) for p in self.policies if _matches(p, facts)]
        chance, event = (
            max((o for flagged, o in made if flagged is which), default=0.0) for which in (False, True)
        )
        return chance, event

    def late(self, facts: Sampled) -> Decision | None:
        """What the policies that wait for an event offer once the event has come; None when none of them matches.

        Policies without a flag have had their say when the trace was complete. Asking them again under a newer configuration
        would choose single traces at a rate their neighbours were not chosen with."""
        matched = [p for p in self.policies if p.flag is not None and _matches(p, facts)]
        return self._decided(matched, facts) if matched else None

    def waits_for(self, flags: frozenset[str]) -> bool:
        """Whether any policy waits for one of these events."""
        return any(p.flag in flags for p in self.policies if p.flag is not None)

    def again(self, facts: Sampled, probability: float, policy: str) -> Decision:
        """The decision taken earlier, with `probability` under `policy` (as "name@version"), or what an event offers since,
        whichever is larger. One of another version chose nothing here."""
        name, _, version = policy.rpartition("@")
        u = self.u(facts.trace_id)
        mine = version == self.version and u < probability
        before = Decision(mine, probability, u, name, (name,), version)
        late = self.late(facts)
        return late if late is not None and late.probability > probability else before

    def _decided(self, matched: Sequence[Policy], facts: Sampled, pace: float = 1.0) -> Decision:
        offers = [(_offer(p, facts) * (pace if p.flag is None else 1.0), p.name) for p in matched]
        probability = max((offer for offer, _ in offers), default=0.0)
        # The first policy that offers π names it; which one does not change the estimate.
        policy = next((name for offer, name in offers if offer == probability), "")
        u = self.u(facts.trace_id)
        return Decision(
            selected=u < probability,
            probability=probability,
            u=u,
            policy=policy,
            matched=tuple(p.name for p in matched),
            version=self.version,
        )


def _offer(policy: Policy, facts: Sampled) -> float:
    """What a matching policy offers. Evidence seen with probability p was seen iff u < p (one hash for all), so the trace is
    chosen iff u < min(p, policy's probability)."""
    return min(policy.probability, facts.observed.get(policy.flag, 1.0) if policy.flag is not None else 1.0)


def _matches(policy: Policy, facts: Sampled) -> bool:
    if policy.flag is not None and policy.flag not in facts.flags:
        return False
    if policy.min_cost is not None and not (facts.cost is not None and facts.cost >= policy.min_cost):
        return False
    if policy.min_latency_ms is not None and not (
        facts.latency_ms is not None and facts.latency_ms >= policy.min_latency_ms
    ):
        return False
    if policy.has is not None and policy.has not in facts.dims:
        return False
    return all(facts.dims.get(key) == value for key, value in policy.where.items())


def policies_of(
    rate: float | None, strata: Mapping[str, float | Mapping[str, float]], always: Sequence[str]
) -> list[Policy]:
    """Policies from the configuration's short form: a random rate, strata `{dimension: {value: rate}}`,
    `{"dimension=value": rate}` or `{dimension: rate}` for every value of it, always-on flags. Raises ValueError naming what is wrong."""
    out = [] if rate is None or rate == 0 else [Policy("random", rate)]
    for key, offered in strata.items():
        if isinstance(offered, Mapping):
            out += [Policy(f"{key}={value}", p, {key: value}) for value, p in offered.items()]
        elif "=" in key:
            dimension, _, value = key.partition("=")
            out.append(Policy(key, offered, {dimension.strip(): value.strip()}))
        else:
            out.append(Policy(key, offered, has=key))
    out += [Policy(f"always:{flag}", 1.0, flag=flag) for flag in always]
    return out
