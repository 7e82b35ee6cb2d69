package reporter

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/klauspost/compress/gzip"

	"sekimori/dns/dnstest"
	"sekimori/domain"
	"sekimori/internal/store/verdict"
	"sekimori/message"
	"sekimori/report/aggregate"
)

// zone is the DNS of the tests: example.org's reports go outside, with consent
// and without, and to a host whose DNS does not answer.
const zone = `
$TTL 300
_dmarc.example.com.       TXT "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"
_dmarc.example.org.       TXT "v=DMARC1; p=quarantine; rua=mailto:a@reports.example, mailto:b@unasked.example, mailto:c@example.org"
example.org._report._dmarc.reports.example.  TXT "v=DMARC1"
slow.example._report._dmarc.slow.example.  TYPE65280 \# 0
`

const (
	recordCom = "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"
	recordOrg = "v=DMARC1; p=quarantine; rua=mailto:a@reports.example, mailto:b@unasked.example, mailto:c@example.org"
)

// days are verdicts in memory.
type days struct {
	mu     sync.Mutex
	days   map[string][]policy
	closed map[string]bool
	fail   error // of Rows
}

type policy struct {
	verdict.Policy
	rows []aggregate.Record
}

func (d *days) add(day string, p verdict.Policy, rows ...aggregate.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.days == nil {
		d.days = map[string][]policy{}
	}
	d.days[day] = append(d.days[day], policy{p, rows})
}

func (d *days) Days(context.Context) ([]verdict.Day, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []verdict.Day
	for day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2027; day = day.AddDate(0, 0, 1) {
		if _, ok := d.days[dayOf(day)]; ok {
			out = append(out, verdict.Day{Day: dayOf(day), Closed: d.closed[dayOf(day)]})
		}
	}
	return out, nil
}

func (d *days) Policies(_ context.Context, day string) ([]verdict.PolicyTotals, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []verdict.PolicyTotals
	for i, p := range d.days[day] {
		t := verdict.PolicyTotals{Policy: p.Policy, ID: int64(i), Rows: int64(len(p.rows))}
		for _, r := range p.rows {
			t.Messages += int64(r.Count)
		}
		out = append(out, t)
	}
	return out, nil
}

func (d *days) Rows(_ context.Context, day string, id int64, f func(*aggregate.Record) error) error {
	d.mu.Lock()
	rows, err := d.days[day][id].rows, d.fail
	d.mu.Unlock()
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := f(&r); err != nil {
			return err
		}
	}
	return nil
}

func (d *days) Close(_ context.Context, day string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed == nil {
		d.closed = map[string]bool{}
	}
	d.closed[day] = true
	return nil
}

// row is a row from a source, of a number of messages.
func row(n byte, count uint64) aggregate.Record {
	return aggregate.Record{
		SourceIP: netip.AddrFrom4([4]byte{192, 0, 2, n}), Count: count, Disposition: aggregate.DispositionPass, DKIM: true,
		HeaderFrom: "example.com", EnvelopeFrom: "bounce.example.net",
		DKIMResults: []aggregate.DKIMResult{{Domain: "example.com", Selector: "s1", Result: "pass"}},
		SPFResults:  []aggregate.SPFResult{{Domain: "bounce.example.net", Scope: "mfrom", Result: "pass"}},
	}
}

func com() verdict.Policy {
	return verdict.Policy{Domain: "example.com", Text: recordCom, Method: "treewalk"}
}
func org() verdict.Policy {
	return verdict.Policy{Domain: "example.org", Text: recordOrg, Method: "treewalk"}
}

// options are those of a reporter of the tests, before the mail server.
func options(t testing.TB, d Days) Options {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader(zone), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Send: true, Organization: "City of Example", Email: "dmarc-reports@city.example", Contact: "https://city.example/dmarc",
		Generator: "Sekimori test", Hostname: "mx.city.example", Resolver: z, Dir: t.TempDir(), Days: d, SMTP: "127.0.0.1:1",
		Now: func() time.Time { return time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC) },
	}
}

func reporter(t testing.TB, o Options) *Reporter {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// received is a message that the sink took.
type received struct {
	from, to string
	helo     string
	tls      bool
	data     []byte
}

// sink is an SMTP server.
type sink struct {
	addr  string
	roots *x509.CertPool

	mu    sync.Mutex
	got   []received
	reply func(to string) error // to RCPT
	data  func() error          // after the message
	conns int
}

func newSink(t testing.TB, withTLS bool) *sink {
	t.Helper()
	s := &sink{}
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		s.conns++
		s.mu.Unlock()
		return &session{s: s, c: c}, nil
	}))
	srv.Domain, srv.ErrorLog, srv.MaxMessageBytes = "mx.city.example", log.New(io.Discard, "", 0), 64<<20
	if withTLS {
		var cert tls.Certificate
		cert, s.roots = certificate(t)
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return s
}

func (s *sink) messages() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.got...)
}

type session struct {
	s    *sink
	c    *smtp.Conn
	from string
	to   string
}

func (n *session) Reset()        {}
func (n *session) Logout() error { return nil }
func (n *session) Mail(from string, _ *smtp.MailOptions) error {
	n.from = "<" + from + ">"
	return nil
}

func (n *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	n.s.mu.Lock()
	reply := n.s.reply
	n.s.mu.Unlock()
	if reply != nil {
		if err := reply(to); err != nil {
			return err
		}
	}
	n.to = to
	return nil
}

func (n *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	_, encrypted := n.c.TLSConnectionState()
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	if n.s.data != nil {
		if err := n.s.data(); err != nil {
			return err
		}
	}
	n.s.got = append(n.s.got, received{n.from, n.to, n.c.Hostname(), encrypted, b})
	return nil
}

// certificate makes one for 127.0.0.1.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// opened is a report's mail, taken apart.
type opened struct {
	header   message.Header
	text     string
	filename string
	gz       []byte
	report   aggregate.Report
	records  []aggregate.Record
	messages uint64
}

// open takes a mail apart and reads its report.
func open(t testing.TB, mail []byte) opened {
	t.Helper()
	var o opened
	h, _, err := message.Read(bytes.NewReader(mail), 0)
	if err != nil {
		t.Fatal(err)
	}
	o.header = h
	err = message.Walk(bytes.NewReader(mail), message.Limits{}, func(p *message.Part) error {
		b, err := io.ReadAll(p.Body)
		switch {
		case err != nil:
			return err
		case p.MediaType == "text/plain" && !p.Preamble:
			o.text = string(b)
		case p.MediaType == "application/gzip":
			o.filename, o.gz = p.Filename, b
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o.report, o.records, o.messages = read(t, unzip(t, o.gz))
	return o
}

func unzip(t testing.TB, gz []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		t.Fatal(err)
	}
	xml, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return xml
}

func read(t testing.TB, xml []byte) (aggregate.Report, []aggregate.Record, uint64) {
	t.Helper()
	rd := aggregate.NewReader(bytes.NewReader(xml), aggregate.Limits{})
	var records []aggregate.Record
	var n uint64
	for {
		var rec aggregate.Record
		err := rd.Next(&rec)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, xml)
		}
		n += rec.Count
		records = append(records, rec)
	}
	rep, _ := rd.Report()
	return rep, records, n
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func addresses(got []received) string {
	var out []string
	for _, g := range got {
		out = append(out, g.to)
	}
	return fmt.Sprint(out)
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "out", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func parseZone(t testing.TB, text string) *dnstest.Zone {
	t.Helper()
	z, err := dnstest.Parse(strings.NewReader("$TTL 300\n"+text+"\n"), "zone")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func name(s string) domain.Name {
	n, err := domain.Parse(s)
	if err != nil {
		panic(err)
	}
	return n
}
