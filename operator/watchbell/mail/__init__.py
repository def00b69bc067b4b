"""What a mail is: addresses, headers, rendering, redaction, built-in templates. Pure: no clock, no network, no Kubernetes."""
