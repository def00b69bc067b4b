"""EmailTemplate: a mail in the user's own words."""

from typing import Annotated

from pydantic import Field, StringConstraints

from watchbell.api import fields as f
from watchbell.api.markers import InCode, ListMap, Matches, Rule
from watchbell.api.meta import Block, Resource, Spec, Status

ParameterName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Matches(r"[a-z][A-Za-z0-9_]*", "name must be a word that begins with a lower-case letter, without '-' and '.'"),
]


class Parameter(Block):
    """One value that whoever uses the template gives. Without a default it must be given."""

    RULES = (
        Rule(
            "!has(self.maxLength) || !has(self.default) || size(self.default) <= self.maxLength",
            "default may not be longer than maxLength",
            ".default",
            lambda one: one.max_length is None or one.default is None or len(one.default) <= one.max_length,
        ),
    )

    name: ParameterName = Field(description="Its name; the template reads it as `parameters.<name>`.")
    default: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="What it is where it is not given. Unset: it must be given."
    )
    max_length: Annotated[int, Field(strict=True, ge=1, le=65_536)] | None = Field(
        None, description="At most so many characters; unset: 4096."
    )


class EmailTemplateSpec(Spec):
    """Liquid: `{{ incident.owner }}`, `{% for pod in incident.pods %}`.

    Values are escaped in HTML; there is no way to objects, files or other templates.
    """

    RULES = (
        Rule(
            "has(self.text) || has(self.html)",
            "text or html must be set",
            ".text",
            lambda spec: spec.text is not None or spec.html is not None,
        ),
    )

    subject: f.Subject = Field(description="The subject, one line.")
    text: Annotated[str, Field(min_length=1, max_length=65_536)] | None = Field(
        None, description="The text part. Unset: made from the HTML."
    )
    html: Annotated[str, Field(min_length=1, max_length=262_144)] | None = Field(
        None, description="The HTML part. Unset: the mail has none."
    )
    parameters: Annotated[tuple[Parameter, ...], Field(max_length=32), ListMap("name"), InCode("none")] = Field(
        (), description="The values that an EmailMessage gives to it. Alerts give none: a default serves."
    )


class EmailTemplateStatus(Status):
    """Whether it can be rendered."""

    last_handled_request: f.Text | None = Field(
        None, description="The value of the annotation watchbell.dev/requested-at that was last answered."
    )


class EmailTemplate(Resource):
    """The words of a mail, for routes of policies; tried against samples as soon as it is written."""

    spec: EmailTemplateSpec
    status: EmailTemplateStatus = Field(default_factory=EmailTemplateStatus)
