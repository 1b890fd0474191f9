"""Attribute keys the SDK writes: the OpenTelemetry GenAI names first, ``watchkeeper.*`` for what they lack.

The table in ``docs/sdk.md`` lists the same names; the server reads exactly those.
"""

from typing import Final

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
REQUEST_PREFIX: Final = "gen_ai.request."
TEMPERATURE: Final = "gen_ai.request.temperature"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_STREAM: Final = "gen_ai.request.stream"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
RETRIEVAL_DOCUMENTS: Final = "gen_ai.retrieval.documents"
RETRIEVAL_QUERY: Final = "gen_ai.retrieval.query.text"
PROMPT_NAME: Final = "gen_ai.prompt.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
AGENT_NAME: Final = "gen_ai.agent.name"
USER_ID: Final = "user.id"
ENDUSER_ID: Final = "enduser.id"
ERROR_TYPE: Final = "error.type"
SAMPLING_PROBABILITY: Final = "sampling.probability"

SCENARIO: Final = "watchkeeper.scenario"
VARIANT: Final = "watchkeeper.variant"
PROMPT_VERSION: Final = "watchkeeper.prompt.version"
INPUT: Final = "watchkeeper.input"
OUTPUT: Final = "watchkeeper.output"
SPAN_KIND: Final = "watchkeeper.span.kind"
FLAG_PREFIX: Final = "watchkeeper.flag."
TIME_PER_OUTPUT_TOKEN: Final = "watchkeeper.time_per_output_token"
QUEUE_MS: Final = "watchkeeper.queue_ms"
PARTIAL: Final = "watchkeeper.partial"
GUARD_NAME: Final = "watchkeeper.guard.name"
GUARD_VERDICT: Final = "watchkeeper.guard.verdict"
GUARD_REASONS: Final = "watchkeeper.guard.reasons"
GUARD_SKIPPED: Final = "watchkeeper.guard.skipped"

PROJECT: Final = "watchkeeper.project"
DROPPED_SPANS: Final = "watchkeeper.dropped_spans"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SDK_INSTANCE: Final = "watchkeeper.sdk.instance"
ENVIRONMENT: Final = "deployment.environment.name"

#: Values that only make sense when they stay joinable: a placeholder in them would merge strangers.
IDENTITIES: Final = frozenset({USER_ID, ENDUSER_ID, CONVERSATION_ID, "session.id"})
USERS: Final = frozenset({USER_ID, ENDUSER_ID})

#: What ``capture_content=False`` removes, from our spans and from everybody else's.
CONTENT: Final = frozenset(
    {
        INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS, TOOL_ARGUMENTS, TOOL_RESULT, RETRIEVAL_DOCUMENTS,
        RETRIEVAL_QUERY, INPUT, OUTPUT, "gen_ai.prompt", "gen_ai.completion", "input.value", "output.value",
        "gen_ai.tool.args",
    }
)  # fmt: skip
CONTENT_PREFIXES: Final = (
    "llm.input_messages.", "llm.output_messages.", "gen_ai.prompt.0", "gen_ai.prompt.1", "gen_ai.completion.",
    "retrieval.documents.", "traceloop.entity.input", "traceloop.entity.output",
)  # fmt: skip

#: Our span kinds and the GenAI operation each one is; the others have no GenAI operation.
OPERATIONS: Final = {
    "llm": "chat",
    "embedding": "embeddings",
    "retrieval": "retrieval",
    "tool": "execute_tool",
    "agent": "invoke_agent",
    "workflow": "invoke_workflow",
    "guardrail": "apply_guardrail",
}
