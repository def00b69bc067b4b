"""A private Postfix: unpacked from Debian's package, configured in a folder of its own, on loopback ports, ended with the tests.

Nothing of it touches the machine's own mail system. Needs root, because Postfix's daemons drop to users of their own.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane.debian import listed, unpacked
from smtprig import CANARY, USER, Authority

OWNER, GROUP, DELIVERER = "news", "uucp", "nobody"
OTHER_USER = "boss@example.com"
MAILBOX = "inbox@example.com"
GREYLISTED = "grey@example.com"
SIZE_LIMIT = 100_000
_READY_S = 30
_DIRECTORIES = (
    "active bounce corrupt defer deferred flush hold incoming private maildrop public pid saved trace".split()  # noqa: SIM905 - one line reads better
)

MAIN_CF = """
compatibility_level = 3.7
queue_directory = {base}/queue
data_directory = {base}/data
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {base}/config
mail_owner = {owner}
setgid_group = {group}
default_privs = {deliverer}
import_environment = LD_LIBRARY_PATH SASL_PATH MAIL_CONFIG MAIL_LOGTAG TZ LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME
export_environment = LD_LIBRARY_PATH SASL_PATH MAIL_CONFIG
maillog_file = {base}/mail.log
maillog_file_prefixes = {base}
myhostname = relay.test
mydomain = relay.test
mydestination =
mynetworks =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
local_transport = error:no local delivery
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
message_size_limit = {size_limit}
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = example.com
virtual_mailbox_base = {base}/mailboxes
virtual_mailbox_maps = inline:{{ {{ {mailbox} = inbox/ }}, {{ {greylisted} = grey/ }}, {{ {user} = alerts/ }} }}
virtual_uid_maps = static:{deliverer_id}
virtual_gid_maps = static:{deliverer_id}
smtpd_tls_chain_files = {base}/config/server.pem
smtpd_tls_security_level = may
smtpd_tls_session_cache_database =
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
cyrus_sasl_config_path = {base}/config/sasl
smtpd_sasl_local_domain = example.com
smtpd_sasl_security_options = noanonymous
broken_sasl_auth_clients = yes
smtpd_sender_login_maps = inline:{{ {{ {user} = {user} }}, {{ {other} = {other} }} }}
smtpd_recipient_restrictions = permit_sasl_authenticated, reject_unauth_destination, check_policy_service inet:127.0.0.1:{policy}
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_client_event_limit_exceptions =
"""

MASTER_CF = """
127.0.0.1:{submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes
  -o smtpd_sender_restrictions=reject_sender_login_mismatch
127.0.0.1:{smtps} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes -o smtpd_delay_reject=no
  -o smtpd_sender_restrictions=reject_sender_login_mismatch
127.0.0.1:{plain} inet n - n - - smtpd
  -o smtpd_tls_security_level=none
127.0.0.1:{strict} inet n - n - - smtpd
  -o smtpd_tls_security_level=none -o smtpd_delay_reject=no -o smtpd_helo_required=yes
  -o {{ smtpd_client_restrictions = sleep 1, permit }}
  -o {{ smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname,
        check_helo_access inline:{{{{bad.example.com = REJECT}}}} }}
127.0.0.1:{crowded} inet n - n - - smtpd
  -o smtpd_tls_security_level=none -o smtpd_client_connection_count_limit=1
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

SASL_CONF = """pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {base}/config/sasl/sasldb2
mech_list: PLAIN LOGIN CRAM-MD5
"""


@dataclass(frozen=True)
class Postfix:
    """A running instance. Ports: `submission` STARTTLS and login, `smtps` the same under implicit TLS, `plain` a mail exchanger without either,
    `strict` one that delays its greeting and judges the EHLO name, `crowded` one that takes a single connection.
    """

    base: Path
    ports: dict[str, int]
    policy: "Greylist"

    def log(self) -> str:
        """All that Postfix wrote down so far."""
        path = self.base / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def log_with(self, line: str, count: int) -> str:
        """Wait until the log holds `line` so often: postlogd writes it after the client has its reply."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if (log := self.log()).count(line) >= count:
                return log
            time.sleep(0.02)
        raise AssertionError(f"not {count} lines with {line!r}:\n{self.log()}")

    def mails(self, box: str) -> list[bytes]:
        """The messages that lie in a mailbox."""
        return [path.read_bytes() for path in sorted((self.base / "mailboxes" / box / "new").glob("*"))]

    def mail_with(self, box: str, marker: bytes) -> bytes:
        """Wait for the message that holds `marker`."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            for mail in self.mails(box):
                if marker in mail:
                    return mail
            time.sleep(0.02)
        raise AssertionError(f"no mail with {marker!r} in {box}:\n{self.log()}")


class Greylist(socketserver.ThreadingTCPServer):
    """Postfix's policy protocol (SMTPD_POLICY_README): the first delivery to one mailbox is put off, as postgrey does it."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _PolicyTalk)
        self.seen: set[tuple[str, str]] = set()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def action(self, attributes: dict[str, str]) -> str:
        """`DUNNO` = let others decide."""
        pair = (attributes.get("sender", ""), attributes.get("recipient", ""))
        if pair[1] != GREYLISTED or pair in self.seen:
            return "DUNNO"
        self.seen.add(pair)
        return "DEFER_IF_PERMIT Greylisted, see http://postgrey.schweikert.ch/help/example.com.html"


class _PolicyTalk(socketserver.StreamRequestHandler):
    server: Greylist

    def handle(self) -> None:
        attributes: dict[str, str] = {}
        for raw in self.rfile:
            line = raw.decode().strip()
            if line:
                name, _, value = line.partition("=")
                attributes[name] = value
                continue
            self.wfile.write(f"action={self.server.action(attributes)}\n\n".encode())
            attributes = {}


@contextmanager
def running_postfix(authority: Authority) -> Iterator[Postfix]:
    """Configure, start, wait until every port greets; end by the master's own process group."""
    assert os.geteuid() == 0, "the relay tests start Postfix, which must be root to drop to its own users"
    root = unpacked(listed())
    base = Path(tempfile.mkdtemp(prefix="relay-"))
    policy = Greylist()
    threading.Thread(target=policy.serve_forever, daemon=True).start()
    try:
        ports = dict(zip(("submission", "smtps", "plain", "strict", "crowded"), _free_ports(5), strict=True))
        _configure(base, root, authority, ports, policy.port)
        with _master(base, root) as process:
            instance = Postfix(base, ports, policy)
            _wait_until_ready(instance, process)
            yield instance
    finally:
        policy.shutdown()
        policy.server_close()
        shutil.rmtree(base)


def _configure(base: Path, root: Path, authority: Authority, ports: dict[str, int], policy: int) -> None:
    owner, deliverer = pwd.getpwnam(OWNER).pw_uid, pwd.getpwnam(DELIVERER).pw_uid
    base.chmod(0o755)
    for name in ("config/sasl", "queue", "data", "mailboxes"):
        (base / name).mkdir(parents=True)
    for name in _DIRECTORIES:
        (base / "queue" / name).mkdir(mode=0o755 if name in {"public", "pid"} else 0o700)
        if name != "pid":
            os.chown(base / "queue" / name, owner, -1)
    os.chown(base / "data", owner, -1)
    os.chown(base / "mailboxes", deliverer, -1)
    values = {
        "base": base, "root": root, "owner": OWNER, "group": GROUP, "deliverer": DELIVERER, "deliverer_id": deliverer, "user": USER,
        "other": OTHER_USER, "mailbox": MAILBOX, "greylisted": GREYLISTED, "size_limit": SIZE_LIMIT, "policy": policy,
    }  # fmt: skip
    (base / "config" / "main.cf").write_text(MAIN_CF.format(**values))
    (base / "config" / "master.cf").write_text(MASTER_CF.format(**ports))
    (base / "config" / "sasl" / "smtpd.conf").write_text(SASL_CONF.format(**values))
    leaf = authority.ca.issue_cert("127.0.0.1", "relay.test")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(base / "config" / "server.pem"))
    _set_password(base, root, owner)


def _set_password(base: Path, root: Path, owner: int) -> None:
    database = base / "config" / "sasl" / "sasldb2"
    name, _, domain = USER.partition("@")
    subprocess.run(
        [root / "usr/sbin/saslpasswd2", "-p", "-c", "-f", database, "-u", domain, name],
        input=CANARY.encode(), env=_environment(root), check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    os.chown(database, owner, -1)


def _environment(root: Path) -> dict[str, str]:
    libraries = [root / "usr/lib/postfix", *(root / "usr/lib").glob("*-linux-gnu"), *(root / "lib").glob("*-linux-gnu")]
    plugins = next((root / "usr/lib").glob("*-linux-gnu/sasl2"))
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries)), "SASL_PATH": str(plugins)}


@contextmanager
def _master(base: Path, root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Postfix's master as a child of ours, in a process group of its own, so that ending it ends its daemons and nobody else's."""
    program = root / "usr/lib/postfix/sbin/master"
    environment = {**_environment(root), "MAIL_CONFIG": str(base / "config")}
    with (base / "master.out").open("wb") as out:
        process = subprocess.Popen(
            [program, "-c", base / "config", "-d"], env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def _wait_until_ready(instance: Postfix, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_S
    waiting = [port for name, port in instance.ports.items() if name != "smtps"]
    while waiting and time.monotonic() < deadline:
        assert process.poll() is None, (instance.base / "master.out").read_text() + instance.log()
        waiting = [port for port in waiting if not _greets(port)]
    assert not waiting, (instance.base / "master.out").read_text() + instance.log()


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            return re.match(rb"220 relay\.test ", sock.recv(512)) is not None
    except OSError:
        time.sleep(0.05)
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports
