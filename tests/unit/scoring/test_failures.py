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
    "curl: (7) Failed to connect to localhost port 8080",
    "curl: (60) SSL certificate problem: unable to get local issuer certificate",
    "ssh: connect to host x port 22: Connection timed out",
    "ping: connect: Network is unreachable",
    "touch: cannot touch 'a': Read-only file system",
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
    # Programs that fell, below a line of source or below what they had printed.
    "/src/index.js:12\n  const x = a.b;\n            ^\n\nTypeError: Cannot read properties of undefined\n    at f (/src/index.js:12:21)",
    'step 1 done\nTraceback (most recent call last):\n  File "run.py", line 9, in <module>\n    go()\nacme.errors.Bad: step',
    "lua: a.lua:3: attempt to index a nil value\nstack traceback:\n\ta.lua:3: in main chunk",
    "app.rb:4:in `fetch': key not found: :price (KeyError)",
    "** (ArithmeticError) bad argument in arithmetic expression",
    "Error in lm.fit(x, y) : incompatible dimensions",
    "psycopg2.errors.UniqueViolation: duplicate key value",
    # Compilers, shells and databases.
    "main.c:7:5: error: 'x' undeclared",
    "./main.go:8:2: undefined: fmt.Printl",
    "warning: unused variable\nerror: could not compile `app`",
    "usage: report.py [-h]\nreport.py: error: the following arguments are required: --from",
    "wget: unable to resolve host address 'x'",
    "'pythn' is not recognized as an internal or external command,\noperable program or batch file.",
    'Error from server (NotFound): pods "web-1" not found',
    'near "SELCT": syntax error',
    "100035 (22007): Timestamp 'abc' is not recognized",
    "Query exceeded memory limit",
    "550 5.7.1 Relaying denied",
    # What people and the tools of agents write.
    "Your proposed edit has introduced new syntax error(s).",
    "No replacement was performed, old_str `x` did not appear verbatim in /a.py.",
    "File has not been read yet. Read it first before writing to it.",
    "The path /a.py does not exist. Please provide a valid path.",
    "The file could not be saved because the disk is full.",
    "Reservation not created: fully booked",
    "Insufficient funds in account 2231.",
    "Tool call rejected by user",
    "Amount must be greater than zero.",
    "We were unable to process your request at this time.",
    # Envelopes.
    '<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
    "<soap:Envelope><soap:Body><soap:Fault><faultcode>x</faultcode></soap:Fault></soap:Body></soap:Envelope>",
    "<!DOCTYPE html><html><head><title>Error 404 (Not Found)</title>",
    {"detail": [{"loc": ["body", "amount"], "msg": "field required", "type": "missing"}]},
    {"faultcode": "soap:Server", "faultstring": "Unable to process request"},
    {"took": 3, "errors": True, "items": [{"index": {"status": 400}}]},
    {"updated": 0, "failed": 3, "errors": ["row 1: bad date"]},
    {"kind": "Status", "status": "Failure", "message": "pods is forbidden", "code": 403},
    {"code": "rate_limited", "message": "Slow down.", "retry_after": 0.5},
    {"errorMessages": ["Issue does not exist"], "errors": {}},
    [{"message": "Session expired", "errorCode": "INVALID_SESSION_ID"}],
    {"chart": {"result": None, "error": {"code": "Not Found", "description": "delisted"}}},
    {"isSuccess": False, "data": None},
    ["error", "no such user"],
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
    "Refunds cannot be processed without a receipt.",
    "Bookings can't be cancelled within 24 hours of departure.",
    "Guests are not allowed to bring food.",
    "The speed limit was exceeded by 12 km/h.",
    "The product is temporarily unavailable in size M; L is in stock.",
    "The king died unexpectedly in 1066.",
    "Error 404 is a Canadian TV series.",
    "README: If you get `Error: Cannot find module`, run npm install.",
    "Warning: x: error: terminal unknown\nFLAG",
    "Traceback (most recent call last) appears when Python fails.",
    'Deploy log\nTraceback (most recent call last):\n  File "a.py"\nValueError: x\nretried: ok, all is well',
    {"errors": 0, "failed": 0, "updated": 3},
    {"updated": 2, "failed": 1, "errors": ["row 1: bad date"]},
    {"valid": False, "errors": ["zip code has 4 digits"], "checked": 3},
    {"user": {"error": "", "name": "x"}},
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


def test_no_text_is_spared_the_look_at_its_words_that_they_would_have_condemned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Always:
        def ids(self, text: str) -> list[int]:
            return [0]

    before = [failure(r) is None for r in (*FAILED, *WORKED)]
    monkeypatch.setattr("watchkeeper.scoring.failures._hinted", Always)
    assert [failure(r) is None for r in (*FAILED, *WORKED)] == before


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
