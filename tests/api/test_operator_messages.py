"""A workload's mail through the whole operator, with the rights of its role alone: files, a template, a signature."""

import base64

from api.test_operator_rights import operator_account
from dkimrig import is_right, made, pem
from operatorrig import KINDS, condition, encoded, world
from watchbell.api.names import API_VERSION
from watchbell.kube.client import CONFIGMAPS, SECRETS

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 40
DKIM = {"domain": "example.com", "selector": "mail1", "secretRef": {"name": "dkim"}}
TEMPLATE = {
    "subject": "Run of {{ parameters.day }}",
    "text": "See the files.\n",
    "html": '<p><img src="cid:logo.png"> See the files.</p>',
    "parameters": [{"name": "day"}],
}
MESSAGE = {
    "to": ["ops@example.com"],
    "templateRef": {"name": "run"},
    "parameters": [{"name": "day", "value": "Monday"}],
    "attachments": [
        {"filename": "a.pdf", "contentType": "application/pdf", "configMapKeyRef": {"name": "files", "key": "pdf"}},
        {"filename": "b.txt", "contentType": "text/plain", "secretKeyRef": {"name": "sealed", "key": "b"}},
        {
            "filename": "logo.png",
            "contentType": "image/png",
            "configMapKeyRef": {"name": "files", "key": "logo"},
            "disposition": "Inline",
        },
    ],
}


async def furnish(at):
    """What the message and the connector name."""
    binary = {"pdf": PDF, "logo": b"\x89PNG\r\n\x1a\n" + bytes(40)}
    files = {
        "metadata": {"name": "files"},
        "binaryData": {key: base64.b64encode(data).decode() for key, data in binary.items()},
    }
    await at.client.create(CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", **files}, at.namespace)
    for name, label, data in (
        ("sealed", "watchbell.dev/attachment", {"b": "for you alone\n"}),
        ("dkim", "watchbell.dev/dkim-key", {"private.pem": pem(made("rsa"))}),
    ):
        metadata = {"name": name, "labels": {label: "true"}}
        content = {key: encoded(value) for key, value in data.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": content}
        await at.client.create(SECRETS, body, at.namespace)
    template = {"apiVersion": API_VERSION, "kind": "EmailTemplate", "metadata": {"name": "run"}, "spec": TEMPLATE}
    await at.client.create(KINDS["EmailTemplate"], template, at.namespace)


async def test_files_words_and_a_signature_need_no_other_rights(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at:
        with operator_account(control_plane, at.home) as kubeconfig:
            async with at.operator(kubeconfig=kubeconfig) as operator:
                await operator.ready()
                await furnish(at)
                await at.connector(dkim=DKIM)
                await at.has("SmtpConnector", "default", "Ready", "True")
                await at.make("EmailMessage", "run", MESSAGE)
                (message,) = await at.settled(1)
                denied = [line for line in (await operator.metrics()).splitlines() if 'code="403"' in line]
                log = operator.text
        assert condition(message, "Succeeded")["reason"] == "AcceptedByServer", condition(message, "Succeeded")
        assert not denied
        (mail,) = at.mails
        assert mail["Subject"] == "Run of Monday"
        files = {part.get_filename(): part.get_payload(decode=True) for part in mail.iter_attachments()}
        assert files == {"a.pdf": PDF, "b.txt": b"for you alone\r\n"}
        assert is_right(at.inbox.messages[0][2])
        assert "for you alone" not in log + str(message)
        assert pem(made("rsa")).splitlines()[1] not in log
