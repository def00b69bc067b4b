"""Settings of other programs made into a SmtpConnector and the template of its Secret. Pure: text in, values out; nothing is read or sent."""
