"""Makes a letter whole just before it is composed: renders its template, reads its files. What follows from that is decided in `content`.

Before it: `letter` knows what the message names. After it: the same letter with text and bytes, and a digest of both, or what is lacking. Each object
is read once for an attempt and kept no longer; the bytes are bounded before they are counted as mail.
"""

from dataclasses import dataclass
from typing import Any

from watchbell.api.reasons import Reason
from watchbell.kube.client import CONFIGMAPS, SECRETS, Client
from watchbell.kube.errors import ApiError, Forbidden, NotFound
from watchbell.mail.attachment import MAX_TOTAL_BYTES
from watchbell.mail.document import Rendered
from watchbell.mail.template import Flaw, TemplateProblem
from watchbell.outbox.letters.content import Enclosure, Ends, File, Lack, digest_of, file_of, forbidden, not_there
from watchbell.outbox.letters.letter import Letter, enclosed, filled
from watchbell.outbox.letters.minting import NO_WORDS, Words

_RESOURCES = {"ConfigMap": CONFIGMAPS, "Secret": SECRETS}


@dataclass(frozen=True, slots=True)
class Whole:
    """A letter that can be composed, and the digest of what was read for it."""

    letter: Letter
    digest: str


@dataclass(frozen=True, slots=True)
class Sources:
    """What messages name. `home` is the operator's own namespace, for the commands that reasons hold."""

    client: Client
    words: Words = NO_WORDS
    home: str = "watchbell-system"

    async def whole(self, letter: Letter, bytes_max: int) -> Whole | Lack:
        """The letter with its words and files; `bytes_max` is what the connector takes in all."""
        parts: list[str] = []
        if letter.template:
            made = await self._worded(letter)
            if isinstance(made, Lack):
                return made
            letter = filled(letter, made)
            parts += [letter.subject, letter.text, letter.html]
        files = await self._files(letter, min(bytes_max, MAX_TOTAL_BYTES))
        if isinstance(files, Lack):
            return files
        parts += [file.version for file in files]
        return Whole(enclosed(letter, [file.data for file in files]), digest_of(parts))

    async def _worded(self, letter: Letter) -> Rendered | Lack:
        found = await self.words.render(letter.namespace, letter.template, {}, letter.parameters)
        return found if isinstance(found, Rendered) else wordless(found, letter.template)

    async def _files(self, letter: Letter, bytes_max: int) -> list[File] | Lack:
        """One after the other, so that no more is in memory than may go out."""
        bodies: dict[tuple[str, str], dict[str, Any]] = {}
        files, left = [], bytes_max
        for one in letter.enclosures:
            body = bodies.get((one.kind, one.name)) or await self._read(one, letter.namespace)
            if isinstance(body, Lack):
                return body
            bodies[one.kind, one.name] = body
            found = file_of(body, one, letter.namespace)
            if isinstance(found, Lack):
                return found
            left -= len(found.data)
            if left < 0:
                text = f"{one.path}: with it the attachments are larger than the {bytes_max} bytes that may go out"
                return Lack(Reason.MESSAGE_TOO_LARGE, text, Ends.AT_ONCE)
            files.append(found)
        return files

    async def _read(self, one: Enclosure, namespace: str) -> dict[str, Any] | Lack:
        try:
            return await self.client.get(_RESOURCES[one.kind], one.name, namespace)
        except NotFound:
            return not_there(one, namespace)
        except Forbidden:
            return forbidden(one, namespace, self.home)
        except ApiError as error:
            text = f"{one.path}: {one.kind} {one.name} cannot be read now: {error.message}"
            return Lack(Reason.TEMPORARY_FAILURE, text)


def wordless(problem: TemplateProblem, name: str) -> Lack:
    """What it means for a mail of a user that its EmailTemplate gives no words: nobody gets half a mail, or another one."""
    where = "spec.templateRef.name"
    match problem.flaw:
        case Flaw.NOT_FOUND:
            text = f"{where}: {problem}. Create it, or name another"
            return Lack(Reason.TEMPLATE_NOT_FOUND, text, Ends.SOON)
        case Flaw.PARAMETER:
            field = problem.field.removeprefix("parameters.")
            return Lack(Reason.INVALID_MESSAGE, f"spec.parameters[{field}]: {problem.message}", Ends.AT_ONCE)
        case _:
            text = f"{where}: EmailTemplate {name} gives no mail: {problem}. Mend it; the message is tried again"
            return Lack(Reason.TEMPLATE_FAILED, text)
