"""The names that others script against: group, version, annotations, labels, and the table of kinds."""

from dataclasses import dataclass

GROUP = "watchbell.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

ANNOTATION_REQUESTED_AT = "watchbell.dev/requested-at"
ANNOTATION_ALLOWED_HOSTS = "watchbell.dev/allowed-hosts"
ANNOTATION_ACKNOWLEDGED_BY = "watchbell.dev/acknowledged-by"
ANNOTATION_THREAD = "watchbell.dev/thread"
ANNOTATION_BUNDLE_VERSION = "watchbell.dev/bundle-version"
ANNOTATION_VERBATIM = "watchbell.dev/verbatim"
LABEL_OPT_IN = "watchbell.dev/smtp"
LABEL_FINGERPRINT = "watchbell.dev/fingerprint"
LABEL_POLICY = "watchbell.dev/policy"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
SECRET_TYPE = "watchbell.dev/smtp"  # noqa: S105 - the type of a Secret
CATEGORY = "watchbell"
DEFAULT_CONNECTOR = "default"
"""The connector that serves wherever a `connectorRef` is absent is the one of this name."""


@dataclass(frozen=True, slots=True)
class Names:
    """How one kind is called; the models stand in `kinds.KINDS`."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True

    @property
    def crd(self) -> str:
        """The name of its CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"
