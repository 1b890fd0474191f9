"""What tools return when they fail or find nothing, as frameworks, shells, servers and people write it."""

from typing import Any

import pytest

from tests.unit.scoring.build import subject
from watchkeeper.model.score import Verdict
from watchkeeper.model.span import Message, Part
from watchkeeper.scoring.checks.tool_error import ToolError
from watchkeeper.scoring.failures import failure, nothing

FAILED: list[Any] = [
    "Error: user not found",
    "Error executing tool search: timeout",
    "Error fetching the forecast for Paris: 503",
    "[search] Error: quota",
    "**Error:** no such order",
    "requests.exceptions.HTTPError: 404 Client Error",
    "ConnectionError(MaxRetryError('x'))",
    "Exception in thread main",
    "An error occurred (AccessDenied) when calling the GetObject operation: Access Denied",
    "2 validation errors for Arguments",
    "HTTP 500 Internal Server Error",
    "404 Not Found",
    "Request failed with status code 502",
    "The server responded with status code 500",
    "<html><head><title>502 Bad Gateway</title></head>",
    "Access denied",
    "You do not have permission to do this",
    "Rate limit exceeded",
    "Connection refused",
    "The request timed out after 10s",
    "exitcode: 1 (execution failed)\nCode output: Traceback",
    "bash: jq: command not found",
    "cat: notes.txt: No such file or directory",
    "fatal: not a git repository",
    "npm ERR! code E404",
    "MCP error -32602: Invalid arguments",
    "Unknown tool: foo",
    "Tool 'foo' not found",
    "Missing required argument 'city'",
    "Invalid JSON: line 1",
    "<tool_use_error>File does not exist.</tool_use_error>",
    "Fehler beim Laden der Datei",
    "Error al procesar la solicitud",
    "错误：找不到",
    "エラーが発生しました",
    {"error": "x"},
    {"errors": [{"message": "Cannot query field"}], "data": None},
    {"success": False, "message": "no such user"},
    {"ok": False},
    {"status": "failed", "detail": "x"},
    {"statusCode": 503, "body": "x"},
    {"errorMessage": "boom", "errorType": "Error"},
    {"exit_code": 1, "stdout": "", "stderr": "x"},
    {"message": "Internal server error"},
    {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}},
    {"result": {"success": False}},
    '{"ok": false}',
    "{'error': 'not found'}",
    [{"type": "text", "text": "Error: boom"}],
    {"content": [{"type": "text", "text": '{"success": false}'}]},
]
WORKED: list[Any] = [
    "The error rate is 2 %",
    "Errors: 0",
    "No errors found",
    "Error handling in Python is done with try",
    "Mean squared error: 0.021",
    "Failed login attempts: 3 in the last day",
    "404 Main Street, Springfield",
    "500 units in stock",
    "Forbidden City, Beijing",
    "Unauthorized biography of a singer",
    "Timeout: 30",
    "exit code: 0",
    "HTTP 200 OK",
    "Search results: 1. How to fix Error: ENOENT",
    "src/a.py:12: raise ValueError",
    "class ValueError(Exception): pass",
    "# Error codes\n| 404 | not found |",
    "Cannot Buy My Soul (album)",
    {"error": None, "data": 1},
    {"errors": 3, "warnings": 2, "files": [1]},
    {"logs": [{"level": "error"}]},
    {"status": "failed", "payment_id": "p1", "amount": 3},
    {"code": 404, "name": "a product"},
    {"message": "Your order shipped"},
    {"exit_code": 0, "stdout": "Error: handled"},
    {"results": [{"title": "Error: what it means", "url": "u"}]},
    [{"type": "text", "text": "Sunny"}],
    None,
    [],
]
EMPTY: list[Any] = [
    "", "[]", " null ", "No results found for 'red shoes'.", "Query returned 0 rows", "Nothing found", "没有找到相关结果", [], {},
    {"menu_items": []}, {"results": [], "total": 0, "query": "x"}, {"success": True, "data": []}, '{"hits": {"total": 0, "hits": []}}',
    [{"type": "text", "text": ""}], {"content": [{"type": "text", "text": "[]"}]},
]  # fmt: skip
FULL: list[Any] = [
    "0", "ok", "No, it is closed on Sundays", "Nothing Compares 2 U", '{"success": true}', {"id": 1, "tags": []}, {"count": 0},
    {"user": {"name": "x", "orders": []}}, [0], {"result": False}, {"results": [{"a": 1}], "errors": []},
]  # fmt: skip


@pytest.mark.parametrize("result", FAILED, ids=repr)
def test_it_sees_that_a_tool_failed(result: Any) -> None:
    assert failure(result)


@pytest.mark.parametrize("result", WORKED, ids=repr)
def test_it_takes_no_talk_of_errors_for_one(result: Any) -> None:
    assert failure(result) is None


@pytest.mark.parametrize("result", EMPTY, ids=repr)
def test_it_sees_that_a_tool_found_nothing(result: Any) -> None:
    assert nothing(result)


@pytest.mark.parametrize("result", FULL, ids=repr)
def test_it_takes_no_small_answer_for_none(result: Any) -> None:
    assert not nothing(result)


def test_a_result_that_the_client_marked_as_failed_is_an_error_in_a_conversation_too() -> None:
    said = [
        Message("user", [Part("text", text="go")]),
        Message("assistant", [Part("tool_call", id="c1", name="search", arguments={})]),
        Message("tool", [Part("tool_result", id="c1", result="nobody home", raw={"status": "error"})]),
    ]
    outcome = ToolError().one(subject("go", "sorry", llm={"input_messages": said}))
    assert isinstance(outcome, Verdict)
    assert (outcome.passed, outcome.reason) == (False, "search: nobody home")
