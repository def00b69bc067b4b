"""What probes, tests and sends report in a status: the stages of one session, and what the server is."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from watchbell.api import fields as f
from watchbell.api.enums import StageName, StageResult
from watchbell.api.markers import ListAtomic, ListMap
from watchbell.api.meta import Block


class Stage(Block):
    """One stage of a session. "Passed" says no more than that the server agreed."""

    name: StageName = Field(description="The stage.")
    result: StageResult = Field(description="Passed, Failed or Skipped.")
    reason: f.Word | None = Field(None, description="Why it failed, in one word of a closed set.")
    duration_milliseconds: f.Count | None = Field(None, description="How long it took.")
    code: f.ReplyCode | None = Field(None, description="The reply code (RFC 5321).")
    enhanced_code: Annotated[str, Field(max_length=16)] | None = Field(
        None, description="The enhanced code (RFC 3463)."
    )
    message: f.Text | None = Field(None, description="What happened, in one line.")
    chain: Annotated[tuple[f.Paragraph, ...], Field(max_length=8), ListAtomic()] = Field(
        (), description="The error and its causes, from the outermost to the innermost."
    )


class ServerTls(Block):
    """The TLS session and the certificate."""

    version: f.Word | None = Field(None, description="The TLS version.")
    cipher: f.Word | None = Field(None, description="The cipher suite.")
    subject: f.Paragraph | None = Field(None, description="Whose certificate it is.")
    issuer: f.Paragraph | None = Field(None, description="Who signed it.")
    not_after: AwareDatetime | None = Field(None, description="When it expires.")
    sha256: Annotated[str, Field(max_length=64)] | None = Field(None, description="Its fingerprint.")


class Server(Block):
    """What the server says of itself after the last EHLO."""

    capabilities: Annotated[tuple[f.Text, ...], Field(max_length=64), ListAtomic()] = Field(
        (), description="The extensions it offers."
    )
    max_message_bytes: Annotated[int, Field(ge=0, le=9_007_199_254_740_991)] | None = Field(
        None, description="The largest message it takes; 0 if it names no limit."
    )
    tls: ServerTls | None = Field(None, description="The TLS session and the certificate.")


Stages = Annotated[tuple[Stage, ...], Field(max_length=16), ListMap("name")]
Remediation = Annotated[tuple[f.Paragraph, ...], Field(max_length=16), ListAtomic()]
