"""The JSON Schema of the configuration, for editors: `docs/config.schema.json`."""

import json
from typing import Any

from watchkeeper.config.models import Config


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one configuration file."""
    made = Config.model_json_schema(mode="validation")
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "Watchkeeper configuration"
    return made


def schema_text() -> str:
    """The schema as committed: sorted and indented, ending in a newline."""
    return json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
