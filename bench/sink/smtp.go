package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"mime"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"time"
)

const idle = 10 * time.Minute

type server struct {
	tls        *tls.Config
	credential string
	lines      *lines
}

// Dialog is one connection: RFC 5321 as far as a sending client needs it, with mail refused before STARTTLS and AUTH.
type dialog struct {
	server     *server
	connection net.Conn
	text       *textproto.Conn
	number     int64
	isSecure   bool
	isKnown    bool
	recipients []string
}

func (s *server) serve(connection net.Conn, number int64) {
	d := &dialog{server: s, connection: connection, text: textproto.NewConn(connection), number: number}
	defer func() { _ = d.connection.Close() }()
	d.say("220 localhost ESMTP bench sink")
	for {
		_ = d.connection.SetReadDeadline(time.Now().Add(idle))
		line, err := d.text.ReadLine()
		if err != nil || !d.answer(line) {
			return
		}
	}
}

func (d *dialog) say(reply string) {
	_ = d.text.PrintfLine("%s", reply)
}

// Answer says whether the connection goes on.
func (d *dialog) answer(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		d.hello()
	case "STARTTLS":
		return d.startTLS()
	case "AUTH":
		d.login(rest)
	case "MAIL":
		d.mail()
	case "RCPT":
		d.recipients = append(d.recipients, address(rest))
		d.say("250 2.1.5 ok")
	case "DATA":
		return d.data()
	case "RSET", "NOOP":
		d.recipients = nil
		d.say("250 2.0.0 ok")
	case "QUIT":
		d.say("221 2.0.0 bye")
		return false
	default:
		d.say("502 5.5.2 not known here")
	}
	return true
}

func (d *dialog) hello() {
	offer := "STARTTLS"
	if d.isSecure {
		offer = "AUTH PLAIN"
	}
	d.say(strings.Join([]string{"250-localhost", "250-" + offer, "250-8BITMIME", "250-ENHANCEDSTATUSCODES", "250 SIZE 26214400"}, "\r\n"))
}

func (d *dialog) startTLS() bool {
	d.say("220 2.0.0 go ahead")
	secure := tls.Server(d.connection, d.server.tls)
	_ = secure.SetDeadline(time.Now().Add(30 * time.Second))
	if err := secure.Handshake(); err != nil {
		return false
	}
	_ = secure.SetDeadline(time.Time{})
	d.connection, d.text, d.isSecure = secure, textproto.NewConn(secure), true
	return true
}

func (d *dialog) login(rest string) {
	mechanism, initial, _ := strings.Cut(rest, " ")
	if !d.isSecure || !strings.EqualFold(mechanism, "PLAIN") {
		d.say("504 5.5.4 PLAIN behind TLS only")
		return
	}
	if initial == "" {
		d.say("334 ")
		initial, _ = d.text.ReadLine()
	}
	d.isKnown = same(initial, d.server.credential)
	if d.isKnown {
		d.say("235 2.7.0 welcome")
	} else {
		d.say("535 5.7.8 Authentication failed")
	}
}

func (d *dialog) mail() {
	if !d.isKnown {
		d.say("530 5.7.0 Authentication required")
		return
	}
	d.recipients = nil
	d.say("250 2.1.0 ok")
}

func (d *dialog) data() bool {
	if len(d.recipients) == 0 {
		d.say("503 5.5.1 no recipients")
		return true
	}
	d.say("354 go on")
	content, err := io.ReadAll(d.text.DotReader())
	if err != nil {
		return false
	}
	line := accepted{"accepted", time.Now().UnixNano(), subject(content), d.recipients, len(content), d.number}
	d.recipients = nil
	d.say("250 2.0.0 accepted")
	d.server.lines.print(line)
	return true
}

func address(rest string) string {
	_, after, _ := strings.Cut(rest, "<")
	found, _, _ := strings.Cut(after, ">")
	return found
}

func subject(content []byte) string {
	message, err := mail.ReadMessage(bufio.NewReader(bytes.NewReader(content)))
	if err != nil {
		return ""
	}
	decoded, err := new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject"))
	if err != nil {
		return message.Header.Get("Subject")
	}
	return decoded
}
