"""What every section of the configuration is made of: a strict model, and the kinds of text its fields hold."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]{0,99}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\r\n]+$")]
Project = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_\-]{0,62}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2000)]


class Strict(BaseModel):
    """A section: unknown keys are refused, values are never silently converted, objects cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Open(BaseModel):
    """A section whose further keys belong to whoever reads it (a scorer's own parameters)."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)
