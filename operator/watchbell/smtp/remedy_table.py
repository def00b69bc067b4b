# ruff: noqa: E501 - sentences and commands are kept whole, so that they can be searched for
"""The sentences of `remedies`: one entry for each reason that a fault may carry, the likeliest remedy first.

Pure data. Placeholders in braces are filled by `remedies`; `$UPPER_CASE` names are shell variables for the reader. Field names as in the API.
"""

from collections.abc import Mapping

from watchbell.api.reasons import Reason as R  # noqa: N817 - tables are read by their columns

_ASK_FOR_EGRESS_IP = (
    "Find the address that the server sees: kubectl -n $OPERATOR_NAMESPACE run egress --rm -it --restart=Never "
    "--image=curlimages/curl -- curl -s https://checkip.amazonaws.com"
)
_SEE_CERTIFICATE = (
    "See what it shows: openssl s_client {starttls}-connect {host}:{port} -servername {host} -showcerts </dev/null"
)
_WRITE_ANEW = """Write both anew: kubectl -n $NAMESPACE patch secret $SECRET -p '{{"stringData":{{"username":"USER","password":"PASSWORD"}}}}'"""
_PROBE_AGAIN = 'Probe again: kubectl -n $NAMESPACE annotate smtpc $CONNECTOR watchbell.dev/requested-at="$(date -u +%FT%TZ)" --overwrite'
_NETWORK_POLICIES = "Look for network policies: kubectl -n $OPERATOR_NAMESPACE get networkpolicies; egress to TCP {port} must be allowed for the operator."
_EXCHANGE_RIGHTS = (
    "In Exchange Online: New-ServicePrincipal -AppId APP_ID -ObjectId OBJECT_ID (the object ID of the Enterprise application, not of the app "
    "registration), then Add-MailboxPermission -Identity MAILBOX -User OBJECT_ID -AccessRights FullAccess."
)

REMEDIES: Mapping[R, tuple[str, ...]] = {
    # Policy
    R.HOST_NOT_ALLOWED: (
        "Only the token endpoints of Microsoft and Google are known: ask whoever runs the operator to allow another with --egress-allow-host {host}.",
    ),
    R.PORT_NOT_ALLOWED: ("Use port 587 (spec.tls.mode: StartTLS) or 465 (Implicit), or ask whoever runs the operator for --egress-allow-port {port}.",),
    R.INSECURE_NOT_ALLOWED: (
        "Set spec.tls.verification: Full and spec.auth.plaintext: Forbid, and give the private CA in spec.tls.caConfigMapRef.",
        "If it cannot be helped, the operator must run with --allow-insecure-tls.",
    ),
    R.DESTINATION_NOT_ALLOWED: (
        "Ask the cluster's administrator to allow it: operator flags --egress-allow-host {host}, --egress-allow-cidr or --egress-allow-port {port}.",
        "Loopback, link-local and metadata addresses and the API server are always refused unless --egress-allow-cidr names them.",
    ),
    R.INVALID_CA_BUNDLE: ("Put PEM certificates (-----BEGIN CERTIFICATE-----) into the key that spec.tls.caSecretRef or spec.tls.caConfigMapRef names.",),
    R.INVALID_CLIENT_CERTIFICATE: (
        ("The Secret of spec.tls.clientCertSecretRef needs tls.crt and the tls.key that belongs to it: "
        "kubectl -n $NAMESPACE create secret tls NAME --cert=tls.crt --key=tls.key; kubectl -n $NAMESPACE label secret NAME watchbell.dev/smtp=true"),
    ),
    # Resolve
    R.HOST_NOT_FOUND: (
        "Correct spec.host. A relay in the cluster needs its full name: SERVICE.NAMESPACE.svc",
        "End the name with a dot ({host}.) to keep the cluster's search domains out of it.",
        "Look it up from inside: kubectl -n $OPERATOR_NAMESPACE run lookup --rm -it --restart=Never --image=busybox -- nslookup {host}",
    ),
    R.HOST_HAS_NO_ADDRESS: (
        "spec.host is a mail domain, not a server: ask the provider for its submission host, such as smtp.example.com.",
        "A headless Service without ready pods has no address either: kubectl get endpointslices -A | grep SERVICE",
    ),
    R.DNS_TEMPORARY_FAILURE: (
        "Check CoreDNS: kubectl -n kube-system get pods -l k8s-app=kube-dns",
        "The egress network policy of $OPERATOR_NAMESPACE must allow UDP and TCP 53 to the cluster's DNS.",
    ),
    R.INVALID_HOST: ("Correct spec.host: labels of 1 to 63 letters, digits and hyphens, joined by single dots, or an IP address.",),
    # Connect
    R.CONNECTION_REFUSED: (
        "Nothing listens on {host}:{port}: check spec.port (587 StartTLS, 465 Implicit, 25 relays).",
        "For a Service in the cluster check that it has ready endpoints: kubectl get endpointslices -A | grep SERVICE",
    ),
    R.CONNECTION_TIMED_OUT: (
        _NETWORK_POLICIES,
        "Check the cloud's firewall or security group of the nodes for outbound TCP {port}; a network that only knows a web proxy drops SMTP.",
        "Try it from the same network: kubectl -n $OPERATOR_NAMESPACE run dial --rm -it --restart=Never --image=busybox -- nc -vz -w 5 {host} {port}",
    ),
    R.OUTBOUND_SMTP_BLOCKED: (
        "AWS, Google Cloud, Azure, DigitalOcean and others drop outbound port 25: set spec.port: 587 or 465, or the provider's 2525 or 2587.",
        "Or ask the cloud provider to unblock port 25 for the address that the cluster sends from.",
        _NETWORK_POLICIES,
    ),
    R.NO_ROUTE_TO_HOST: (
        "The cluster has no route to {host}: often a name with only IPv6 addresses in an IPv4 cluster; use a name with the other family.",
        "Check routes and egress gateways of the nodes.",
    ),
    R.CONNECT_DENIED_LOCALLY: (
        "The node or the network plugin refuses: allow egress to TCP {port} for the operator's pod (NetworkPolicy, CiliumNetworkPolicy, seccomp).",
    ),
    R.CONNECTION_RESET: (
        "A firewall, an intrusion filter or the server itself cuts the connection; if it is always at the same stage, read the server's log.",
        "With a service mesh, exclude the port: annotation traffic.sidecar.istio.io/excludeOutboundPorts: \"{port}\" on the operator's pods.",
    ),
    # TLS
    R.PLAINTEXT_ON_TLS_PORT: ("The server speaks plain text first: set spec.tls.mode: StartTLS (usual port 587).",),
    R.TLS_ON_PLAINTEXT_PORT: ("The server waits for TLS at once: set spec.tls.mode: Implicit (usual port 465).",),
    R.CERTIFICATE_UNTRUSTED: (
        "Put the issuing CA into a ConfigMap and name it: kubectl -n $NAMESPACE create configmap smtp-ca --from-file=ca.crt; spec.tls.caConfigMapRef.name: smtp-ca",
        "Or the server leaves out an intermediate certificate: its administrator must install the full chain.",
        _SEE_CERTIFICATE,
    ),
    R.CERTIFICATE_SELF_SIGNED: (
        "Trust this very certificate: save it as ca.crt, kubectl -n $NAMESPACE create configmap smtp-ca --from-file=ca.crt; spec.tls.caConfigMapRef.name: smtp-ca",
        "Better: let the server use a certificate of a CA that you run.",
        _SEE_CERTIFICATE,
    ),
    R.CERTIFICATE_EXPIRED: ("Renew the certificate on the server.", "Check the nodes' clocks if it looks valid.", _SEE_CERTIFICATE),
    R.CERTIFICATE_NOT_YET_VALID: ("Check the clocks of the nodes and of the server.", _SEE_CERTIFICATE),
    R.CERTIFICATE_NAME_MISMATCH: (
        "Use a name that the certificate holds ({names}) as spec.host, or set spec.tls.serverName to it.",
        _SEE_CERTIFICATE,
    ),
    R.CERTIFICATE_INVALID: (
        "The certificate or its CA breaks a rule named in the message. Private CAs must have the basicConstraints, keyUsage and key identifier extensions.",
        _SEE_CERTIFICATE,
    ),
    R.TLS_VERSION_TOO_OLD: (
        "The server must speak TLS 1.2 or newer (RFC 8997): upgrade it.",
        "If spec.tls.minVersion is TLS13, try TLS12.",
    ),
    R.NO_SHARED_CIPHER: ("The server offers only obsolete ciphers or short keys: enable ECDHE with AES-GCM or ChaCha20 there.", _SEE_CERTIFICATE),
    R.CLIENT_CERTIFICATE_REQUIRED: (
        "The server seems to want a client certificate: give one in spec.tls.clientCertSecretRef (keys tls.crt and tls.key).",
        "If you gave one, the server does not trust its issuer; or it wants another name: see spec.tls.serverName.",
    ),
    R.TLS_HANDSHAKE_FAILED: (
        "Something between cuts TLS, or the server is overloaded: try the other port (587 with StartTLS, 465 with Implicit).",
        _SEE_CERTIFICATE,
    ),
    R.STARTTLS_NOT_OFFERED: (
        "Use spec.tls.mode: Implicit with port 465; or enable STARTTLS on the server.",
        'If other clients are offered STARTTLS there, a firewall (Cisco PIX/ASA "fixup", a mail proxy) removes it. Encryption is never switched off silently here.',
    ),
    R.STARTTLS_STRIPPED: (
        "A firewall rewrites the dialogue (Cisco PIX/ASA: no inspect esmtp). Use spec.tls.mode: Implicit with port 465.",
    ),
    R.STARTTLS_UNAVAILABLE: ("The server's certificate or TLS set-up is broken: see its log.", "Port 465 with spec.tls.mode: Implicit may work."),
    # Greeting and EHLO
    R.GREETING_REJECTED: (
        "The server refuses the cluster's address (block list, missing reverse DNS): allow it there, or relay through a provider.",
        _ASK_FOR_EGRESS_IP,
    ),
    R.SERVER_BUSY: ("Nothing to do at once: it is tried again. If it lasts, lower spec.limits.maxConnections or ask the server's administrator.",),
    R.NOT_AN_SMTP_SERVER: ("Another service answers on {host}:{port}: correct spec.host or spec.port.",),
    R.CLOSED_BEFORE_GREETING: (
        "The server filters by address, or expects the PROXY protocol: allow the cluster's address there.",
        "With a service mesh the sidecar accepts and then drops: add a ServiceEntry for {host}, or exclude port {port}.",
        _ASK_FOR_EGRESS_IP,
    ),
    R.GREETING_TIMED_OUT: (
        "With Istio name the Service's port tcp-smtp: protocol sniffing waits for the client, and SMTP waits for the server.",
        "If the port wants TLS at once, set spec.tls.mode: Implicit. Servers that delay their greeting on purpose may need more time.",
    ),
    R.EHLO_REJECTED: ("Set spec.helloName to a full name of yours that resolves, such as alerts.example.com (the server refused {hello}).",),
    R.ESMTP_UNSUPPORTED: ("The server is too old for TLS and authentication, or a proxy answers for it: use the provider's submission port 587 or 465.",),
    R.LMTP_SERVER: ("This is a delivery port (LMTP): use the submission port of the same server, 587 or 465.",),
    # Token
    R.OAUTH_CLIENT_REJECTED: (
        "The client's secret or certificate is wrong or expired: make a new one in Entra ID (App registrations → Certificates & secrets).",
        """Store the secret's Value, not its ID: kubectl -n $NAMESPACE patch secret $SECRET -p '{{"stringData":{{"client-secret":"VALUE"}}}}'""",
    ),
    R.OAUTH_CONFIG_INVALID: (
        "Check spec.auth.oauth2: tenant in tokenURL, clientID, grant and scopes.",
        ("RefreshToken: the token was revoked or has expired; sign in anew. WorkloadIdentity: issuer and subject of the federated credential must be "
        "those of the operator's ServiceAccount."),
        "GoogleServiceAccount: domain-wide delegation must allow the client ID the scope https://mail.google.com/.",
    ),
    R.OAUTH_TOKEN_WRONG_SCOPE: (
        "In Entra ID grant the application permission Office 365 Exchange Online → SMTP.SendAsApp (not Graph Mail.Send), with admin consent.",
        "Set spec.auth.oauth2.scopes: [https://outlook.office365.com/.default]",
    ),
    R.OAUTH_UNAVAILABLE: (
        "Allow egress from $OPERATOR_NAMESPACE to the token endpoint on TCP 443 (spec.auth.oauth2.tokenURL).",
        "If its certificate is of a private CA, name that CA in spec.tls.caConfigMapRef: it is trusted for the token endpoint too.",
        "If it answered 429 or 5xx, nothing to do: it is tried again.",
    ),
    # Authenticate
    R.AUTH_NOT_OFFERED: (
        "This port takes no logins (25?): use 587 or 465.",
        "If the server relays by address, remove spec.auth.",
    ),
    R.NO_SHARED_AUTH_MECHANISM: (
        "The server offers: {offered}. Enable PLAIN, LOGIN or XOAUTH2 there, or set spec.auth.mechanism to one of these that fits.",
        "NTLM and GSSAPI are not supported: on an Exchange server enable Basic authentication over TLS on the receive connector.",
    ),
    R.ENCRYPTION_REQUIRED: (
        "Set spec.tls.mode: StartTLS or Implicit: credentials do not travel in clear text.",
        "spec.auth.plaintext: Allow works only if the operator runs with --allow-insecure-tls, and not with a server that refuses it itself.",
    ),
    R.CREDENTIALS_REJECTED: (
        "Check the user name and password in the Secret of spec.auth.secretRef: kubectl -n $NAMESPACE get secret $SECRET -o jsonpath='{{.data.username}}' | base64 -d",
        "Usual slips: a newline at the end, a value encoded in base64 twice, the API key in place of the SMTP key, the password of another region.",
        _WRITE_ANEW,
        "It is tried again at once when the Secret changes, and else after 15 minutes and then ever more slowly, so that the account is not locked.",
    ),
    R.APP_PASSWORD_REQUIRED: (
        "Create an app password in the account's security settings (needs 2-step verification) and store it in the Secret of spec.auth.secretRef.",
        "Or use spec.auth.oauth2.",
    ),
    R.WEB_LOGIN_REQUIRED: ("Log in once with a browser as {user} and confirm that it is you; then probe again.", _PROBE_AGAIN),
    R.BASIC_AUTH_DISABLED: (
        "Move to OAuth2: spec.auth.oauth2 with grant ClientCredentials or WorkloadIdentity and spec.auth.mechanism: XOAuth2.",
        "Or an administrator allows passwords again for this tenant, where the provider still lets them (security defaults, Conditional Access, authentication policies).",
    ),
    R.SMTP_AUTH_DISABLED: (
        "Enable SMTP AUTH for the mailbox: Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false",
        "Or for the tenant: Set-TransportConfig -SmtpClientAuthenticationDisabled $false",
        "Better: move to spec.auth.oauth2 (it needs SMTP AUTH enabled as well).",
    ),
    R.OAUTH_TOKEN_REJECTED: (
        "The user name must be the mailbox that sends, and the token must be for it.",
        _EXCHANGE_RIGHTS,
        "New rights take up to 30 minutes to work.",
    ),
    R.MAILBOX_ACCESS_DENIED: (_EXCHANGE_RIGHTS, "The user name must be the mailbox itself. New rights take up to 30 minutes to work."),
    R.SOURCE_IP_NOT_ALLOWED: ("Authorise the address that the cluster sends from at the provider.", _ASK_FOR_EGRESS_IP),
    R.AUTH_TEMPORARILY_UNAVAILABLE: ("Wait: the server cannot check logins now, or saw too many of them. It is tried again by itself.",),
    # Sender, Recipient, Data
    R.AUTHENTICATION_REQUIRED: ("The server wants a login: add spec.auth with spec.auth.secretRef, or let the server relay for the cluster's address.",),
    R.SENDER_NOT_ALLOWED: (
        "Set spec.from.address to the login's own mailbox or to an identity verified at the provider (now: {sender}, login {user}).",
        "Or grant the login the right to send as that address.",
    ),
    R.MESSAGE_TOO_LARGE: ("Send less: the server takes at most {size} bytes. Drop or shrink attachments, or link to them.",),
    R.RECIPIENT_UNKNOWN: ("Correct or remove this recipient; the others still get the mail.",),
    R.RELAY_DENIED: (
        "The server does not send outside for this client: add spec.auth, or let the server's administrator allow the cluster's address.",
        _ASK_FOR_EGRESS_IP,
    ),
    R.GREYLISTED: ("Nothing to do: the server asks unknown senders to come back, and it is tried again after 1, 5 and 15 minutes.",),
    R.TOO_MANY_RECIPIENTS: ("Nothing to do: the recipients are split. Lower spec.limits.maxRecipientsPerMessage to spare the detour.",),
    R.MAILBOX_FULL: ("The recipient must free space in the mailbox.",),
    R.ADDRESS_NOT_SUPPORTED: ("Use an address with an ASCII local part for this recipient: the server does not offer SMTPUTF8.",),
    R.RATE_LIMITED: ("Lower spec.limits.messagesPerMinute and spec.limits.maxConnections, or group more incidents into one mail.",),
    R.QUOTA_EXCEEDED: ("Wait for the provider's next quota window, or raise the plan; set spec.limits.messagesPerDay below the quota.",),
    R.PROVIDER_ACCOUNT_RESTRICTED: ("Log in at the provider and lift the restriction: verify the domain, leave the sandbox, or ask its support to unblock the account.",),
    R.CONTENT_REJECTED: ("The server takes the content for spam or dangerous: look at links, attachment types and the From domain.",),
    R.DOMAIN_AUTHENTICATION_FAILED: ("Publish SPF, DKIM and DMARC records for the domain of {sender} that cover this server.",),
    R.DELIVERY_OUTCOME_UNKNOWN: ("The message may have arrived. It is sent again at most once, with the same Message-ID, as spec.onUncertain says.",),
    # Any stage
    R.PROTOCOL_VIOLATION: ("A proxy or firewall on the way corrupts SMTP (mail inspection, fixup): exclude {host}:{port} from it.",),
    R.COMMAND_TIMED_OUT: ("The server is slow or stuck: read its log. It is tried again by itself.",),
    R.CONNECTION_CLOSED: ("The server or something on the way hung up: read the server's log. It is tried again by itself.",),
    R.TEMPORARY_FAILURE: ("Nothing to do at once: it is tried again. The server's own words are in the message.",),
    R.PERMANENT_FAILURE: ("The server's own words are in the message: ask its administrator what they stand for.",),
}  # fmt: skip
