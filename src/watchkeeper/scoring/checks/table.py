"""Every built-in check: adding one is a file and a line here."""

from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.checks.citation_resolves import CitationResolves
from watchkeeper.scoring.checks.empty_output import EmptyOutput
from watchkeeper.scoring.checks.exact_ids import ExactIds
from watchkeeper.scoring.checks.finish import ContentFilter, Truncation
from watchkeeper.scoring.checks.injection_pattern import InjectionPattern
from watchkeeper.scoring.checks.inputs import InputEmpty, InputEncoding, InputFields, InputLength
from watchkeeper.scoring.checks.json_schema import JsonSchema
from watchkeeper.scoring.checks.json_valid import JsonValid
from watchkeeper.scoring.checks.language import Language
from watchkeeper.scoring.checks.length import Length
from watchkeeper.scoring.checks.limits import Cost, Latency
from watchkeeper.scoring.checks.numbers_in_context import NumbersInContext
from watchkeeper.scoring.checks.pii_in_output import PiiInOutput
from watchkeeper.scoring.checks.profanity import Profanity
from watchkeeper.scoring.checks.quote_in_context import QuoteInContext
from watchkeeper.scoring.checks.refusal import Refusal
from watchkeeper.scoring.checks.regex import Regex
from watchkeeper.scoring.checks.repeated_call import RepeatedCall
from watchkeeper.scoring.checks.secret_in_output import SecretInOutput
from watchkeeper.scoring.checks.system_prompt_leak import SystemPromptLeak
from watchkeeper.scoring.checks.terms import Terms
from watchkeeper.scoring.checks.text_statistics import OutputRepetition, OutputWords, TextStatistics
from watchkeeper.scoring.checks.token_overlap import TokenOverlap
from watchkeeper.scoring.checks.too_many_steps import TooManySteps
from watchkeeper.scoring.checks.tool_arguments_valid import ToolArgumentsValid
from watchkeeper.scoring.checks.tool_empty_result import ToolEmptyResult
from watchkeeper.scoring.checks.tool_error import ToolError
from watchkeeper.scoring.checks.tool_known import ToolKnown
from watchkeeper.scoring.checks.transport import RateLimit, ServerError, Timeout
from watchkeeper.scoring.checks.uncertainty import Uncertainty
from watchkeeper.scoring.protocol import Finders

CHECKS: tuple[type[Check], ...] = (
    JsonValid,
    JsonSchema,
    Regex,
    ExactIds,
    Length,
    EmptyOutput,
    Language,
    Terms,
    ToolKnown,
    ToolArgumentsValid,
    ToolError,
    ToolEmptyResult,
    RepeatedCall,
    TooManySteps,
    CitationResolves,
    QuoteInContext,
    NumbersInContext,
    TokenOverlap,
    PiiInOutput,
    SecretInOutput,
    InjectionPattern,
    SystemPromptLeak,
    Profanity,
    Refusal,
    Truncation,
    ContentFilter,
    Timeout,
    RateLimit,
    ServerError,
    Uncertainty,
    Latency,
    Cost,
    InputEmpty,
    InputEncoding,
    InputLength,
    InputFields,
    TextStatistics,
    OutputWords,
    OutputRepetition,
)
BY_TYPE: dict[str, type[Check]] = {c.type: c for c in CHECKS}


def default_checks(finders: Finders | None = None) -> list[Check]:
    """The checks that run on all traffic without configuration, in table order."""
    find = finders.find_sensitive if finders is not None else None
    return [c(find=find) if issubclass(c, PiiInOutput | SecretInOutput) else c() for c in CHECKS if c.default]
