"""A recorded trace's tools, answered from the recording. What was not recorded is reported, never invented."""

import json
from collections import defaultdict
from typing import Any


class NotRecorded(Exception):
    """A tool was asked for something the recording does not hold; the text names the call and what was recorded."""


def _canonical(arguments: Any) -> str:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return arguments.strip()
    return json.dumps(arguments if arguments is not None else {}, sort_keys=True, ensure_ascii=False)


class Recording:
    """The tool runs of one case (`context.steps`). The same call made twice gets its results in recorded order; once
    they are used up the last one again."""

    def __init__(self, case: dict[str, Any]) -> None:
        self._runs: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._arguments: dict[str, list[str]] = defaultdict(list)
        for step in (case.get("context") or {}).get("steps") or []:
            tool = step.get("tool")
            if tool:
                name, asked = str(tool.get("name") or step.get("name")), _canonical(tool.get("arguments"))
                self._runs[name, asked].append(tool)
                self._arguments[name].append(asked)

    @property
    def tools(self) -> list[str]:
        """The names of the tools that ran."""
        return sorted(self._arguments)

    def call(self, name: str, arguments: Any) -> Any:
        """The recorded result (or `{"error": …}`) of this call. Raises `NotRecorded`."""
        asked = _canonical(arguments)
        runs = self._runs.get((name, asked))
        if not runs:
            known = self._arguments.get(name)
            held = (
                f"it was recorded with {'; '.join(known[:3])}"
                if known
                else f"recorded were {', '.join(self.tools) or 'no tools'}"
            )
            raise NotRecorded(f"the recording has no {name}({asked[:300]}); {held[:600]}")
        run = runs.pop(0) if len(runs) > 1 else runs[0]
        return {"error": run["error"]} if run.get("error") else run.get("result")
