"""SmtpConnector → conditions: gather what a connector names, decide what is due, probe, write the verdict; and the SmtpTest."""
