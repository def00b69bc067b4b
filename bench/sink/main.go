// Command sink is the mail server that the bench sends to: STARTTLS, AUTH PLAIN, and a JSON line on stdout for each mail with the time at which it
// was accepted. A process of its own and in Go, so that it is never what limits a figure.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"log"
	"math/big"
	"net"
	"os"
	"sync"
	"time"
)

// Listening is the first line: where the server is and which authority to trust.
type listening struct {
	Event string `json:"event"`
	Port  int    `json:"port"`
	CAPem string `json:"ca_pem"`
}

// Accepted is one line for each mail. AtNS is the wall clock in nanoseconds, read just before the 250 is written.
type accepted struct {
	Event      string   `json:"event"`
	AtNS       int64    `json:"at_ns"`
	Subject    string   `json:"subject"`
	Recipients []string `json:"recipients"`
	SizeBytes  int      `json:"size_bytes"`
	Connection int64    `json:"connection"`
}

// Lines writes JSON lines, one at a time.
type lines struct {
	mutex  sync.Mutex
	writer *json.Encoder
}

func (l *lines) print(line any) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if err := l.writer.Encode(line); err != nil {
		log.Fatalf("sink: nobody reads the results any more: %v", err)
	}
}

func main() {
	username := flag.String("username", "alerts@example.com", "the login that is accepted")
	flag.Parse()
	password := os.Getenv("SINK_PASSWORD")
	if password == "" {
		log.Fatal("sink: SINK_PASSWORD is empty")
	}
	certificate, caPem := mustIssue()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatalf("sink: %v", err)
	}
	out := &lines{writer: json.NewEncoder(os.Stdout)}
	out.print(listening{"listening", listener.Addr().(*net.TCPAddr).Port, string(caPem)})
	server := &server{
		tls:        &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		credential: base64.StdEncoding.EncodeToString([]byte("\x00" + *username + "\x00" + password)),
		lines:      out,
	}
	go endWithParent()
	for number := int64(1); ; number++ {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatalf("sink: %v", err)
		}
		go server.serve(connection, number)
	}
}

// EndWithParent: stdin is a pipe that the bench holds; when it is closed, even by a kill, the sink goes too.
func endWithParent() {
	buffer := make([]byte, 1)
	for {
		if _, err := os.Stdin.Read(buffer); err != nil {
			os.Exit(0)
		}
	}
}

// MustIssue makes an authority and a certificate of it for localhost, ECDSA P-256, as public authorities issue them.
func mustIssue() (tls.Certificate, []byte) {
	caKey, key := mustKey(), mustKey()
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "watchbell bench CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(365 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDer, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	if err != nil {
		log.Fatalf("sink: %v", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	parent, err := x509.ParseCertificate(caDer)
	if err != nil {
		log.Fatalf("sink: %v", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, &key.PublicKey, caKey)
	if err != nil {
		log.Fatalf("sink: %v", err)
	}
	caPem := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDer})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, caPem
}

func mustKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatalf("sink: %v", err)
	}
	return key
}

func same(one, other string) bool {
	return subtle.ConstantTimeCompare([]byte(one), []byte(other)) == 1
}
