package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"sekimori/dns"
)

// Defaults of HTTPS.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultConcurrency = 64
	DefaultPerAddress  = 4
)

// HTTPS fetches what a URL holds, as strictly as MTA-STS wants it (RFC 8461
// §3.3): TLS 1.2 or later, a certificate for the very name, no cache, no
// cookie, no proxy, and no redirect but as Fetch says. The zero value lacks nothing but a Resolver. It
// is safe for concurrent use; a copy of one in use is not.
//
// It is polite: at one address at most PerAddress fetches are on the way, and
// an address that timed out three times in a row, or asks for patience (429,
// 503), is left alone for a while, in which fetches from it fail at once as
// temporary.
type HTTPS struct {
	// Resolver tells the addresses of hosts.
	Resolver dns.Resolver
	// Roots are whom certificates are to be issued by; nil means the system's.
	Roots *x509.CertPool
	// Timeout is for one fetch, once it is its turn; 0 means DefaultTimeout.
	Timeout time.Duration
	// Concurrency is how many fetches may be on the way, PerAddress how many
	// at one address; 0 means the defaults.
	Concurrency, PerAddress int
	// Private lets a URL that a stranger chose lead to addresses that are not
	// of the public Internet, for tests and networks of one's own.
	Private bool
	// UserAgent is sent with each request; empty means a name of the program.
	UserAgent string
	// Dial connects; nil means net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock by which certificates hold; nil means time.Now.
	Now func() time.Time

	mu     sync.Mutex
	slots  chan struct{}
	places map[netip.Addr]*place
}

// Limits of what a server may send besides the body, and of its addresses.
const (
	maxHead      = 64 << 10
	maxInterim   = 5 // answers 1xx before the answer
	maxAddresses = 6
	maxRedirects = 3
)

// Fetch gets what is at a URL, and its media type in lower case without
// parameters ("" for none). At most so many octets: more is an error, and is
// not read.
//
// A stranger's record chooses the URL of a BIMI logo, and could make this host
// call on others of its own network: chosen says so, and then only addresses
// of the public Internet are connected to. The host and the path of an MTA-STS
// policy are laid down, and a host that has no certificate for that name hears
// nothing of the request: any address will do.
//
// A redirect is an error for MTA-STS (RFC 8461 §3.3). The BIMI draft says
// nothing of them, and receivers follow some: where the URL was chosen, so
// does Fetch, maxRedirects of them, to https and public addresses only.
//
// The error is an *Error.
func (h *HTTPS) Fetch(ctx context.Context, rawURL string, most int, chosen bool) (body []byte, mediaType string, err error) {
	for n := 0; ; n++ {
		body, mediaType, err = h.fetch(ctx, rawURL, most, chosen)
		var e *Error
		if !chosen || n == maxRedirects || !errors.As(err, &e) || e.Why != WhyRedirect || e.About == "" {
			return body, mediaType, err
		}
		from, _ := url.Parse(rawURL)
		to, bad := from.Parse(e.About)
		if bad != nil || to.Scheme != "https" {
			return nil, "", err
		}
		rawURL = to.String()
	}
}

// fetch is Fetch without redirects.
func (h *HTTPS) fetch(ctx context.Context, rawURL string, most int, chosen bool) (body []byte, mediaType string, err error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || !isHost(u.Hostname()) || len(rawURL) > 4096 {
		return nil, "", &Error{Why: WhyURL, Err: fmt.Errorf("%.80q: want https://HOST/PATH", rawURL)}
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	port := u.Port()
	if port == "" {
		port = "443"
	}
	addrs, err := h.addresses(ctx, host, chosen && !h.Private)
	if err != nil {
		return nil, "", err
	}
	leave, p, err := h.enter(ctx, addrs[0])
	if err != nil {
		return nil, "", err
	}
	defer leave()
	timeout := h.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := h.connect(limited, host, port, addrs)
	if err == nil {
		body, mediaType, err = h.exchange(limited, conn, u, most)
		_ = conn.Close()
	}
	if ctx.Err() == nil { // or it was the caller who lost patience
		h.note(p, err)
	}
	return body, mediaType, err
}

// isHost: a name of letters, digits, dashes, underscores and dots that is no
// address.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil || s == "" || len(s) > 254 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '-' && c != '_' && c != '.' && (c < '0' || '9' < c) && (c|0x20 < 'a' || 'z' < c|0x20) {
			return false
		}
	}
	return true
}

// addresses are those of a host, both families in turn, at least one and at
// most maxAddresses.
func (h *HTTPS) addresses(ctx context.Context, host string, public bool) ([]netip.Addr, error) {
	var v4, v6 dns.Answer
	var err4, err6 error
	var wg sync.WaitGroup
	wg.Go(func() { v6, err6 = h.Resolver.Lookup(ctx, host, dns.AAAA) })
	v4, err4 = h.Resolver.Lookup(ctx, host, dns.A)
	wg.Wait()
	if err4 != nil && err6 != nil {
		if dns.Absent(err4) && dns.Absent(err6) {
			return nil, &Error{Why: WhyNoAddress, About: host, Err: err4}
		}
		if dns.Absent(err4) {
			err4 = err6
		}
		return nil, &Error{Why: WhyDNS, About: host, Err: err4}
	}
	var out []netip.Addr
	shut := ""
	take := func(s string) {
		a, err := netip.ParseAddr(s)
		a = a.Unmap()
		switch {
		case err != nil || len(out) == maxAddresses:
		case public && !global(a), a.IsUnspecified() || a.IsMulticast() || a.Zone() != "", !h.Private && documentation(a):
			shut = s
		default:
			out = append(out, a)
		}
	}
	for i := range min(max(len(v4.Records), len(v6.Records)), 4*maxAddresses) {
		if i < len(v6.Records) {
			take(v6.Records[i])
		}
		if i < len(v4.Records) {
			take(v4.Records[i])
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case shut != "":
		return nil, &Error{Why: WhyAddress, About: shut, Err: fmt.Errorf("%s is at %s, which is not of the public Internet", host, shut)}
	}
	return nil, &Error{Why: WhyNoAddress, About: host, Err: errors.New("no address that could be read")}
}

// stagger is how long one address has before the next is tried beside it (RFC
// 8305 §5).
const stagger = 250 * time.Millisecond

// connect opens a TLS connection to the first address that answers. What is
// wrong with its TLS is not tried at another: they are to be alike.
func (h *HTTPS) connect(ctx context.Context, host, port string, addrs []netip.Addr) (net.Conn, error) {
	raw, err := h.dial(ctx, port, addrs)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: h.Roots, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}, Time: h.Now})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, handshakeError(ctx, err)
	}
	return conn, nil
}

// dial connects to one of the addresses, the next a little later than the one
// before.
func (h *HTTPS) dial(ctx context.Context, port string, addrs []netip.Addr) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dial := h.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(addrs))
	next := 0
	start := func() {
		a := addrs[next]
		next++
		go func() {
			c, err := dial(ctx, "tcp", net.JoinHostPort(a.String(), port))
			results <- result{c, err}
		}()
	}
	// The connections that come too late are closed.
	drain := func(n int) {
		go func() {
			for range n {
				if r := <-results; r.conn != nil {
					_ = r.conn.Close()
				}
			}
		}()
	}
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	start()
	var failed []error
	for {
		select {
		case r := <-results:
			if r.err == nil {
				drain(next - len(failed) - 1)
				return r.conn, nil
			}
			if failed = append(failed, r.err); len(failed) == len(addrs) {
				return nil, dialError(ctx, failed)
			}
			if next < len(addrs) && next == len(failed) {
				start()
				timer.Reset(stagger)
			}
		case <-timer.C:
			if next < len(addrs) {
				start()
				timer.Reset(stagger)
			}
		case <-ctx.Done():
			drain(next - len(failed))
			return nil, &Error{Why: WhyTimeout, Err: context.Cause(ctx)}
		}
	}
}

// exchange asks for the URL and reads the answer.
func (h *HTTPS) exchange(ctx context.Context, conn net.Conn, u *url.URL, most int) ([]byte, string, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	agent := h.UserAgent
	if agent == "" {
		agent = "sekimori (mail policy check)"
	}
	req := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Close: true, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {agent}, "Accept": {"*/*"}, "Accept-Encoding": {"identity"}}}
	if err := req.Write(conn); err != nil {
		return nil, "", exchangeError(ctx, err)
	}
	// One limit for the head and the body, framing included, is enough: what
	// does not fit is too large.
	limited := &io.LimitedReader{R: conn, N: int64(2*most) + maxHead}
	br := bufio.NewReader(limited)
	var resp *http.Response
	for interim := 0; ; interim++ {
		var err error
		if resp, err = http.ReadResponse(br, req); err != nil {
			if limited.N == 0 {
				return nil, "", &Error{Why: WhyTooLarge, About: strconv.Itoa(most), Err: errors.New("a head of more than 64 KB")}
			}
			return nil, "", exchangeError(ctx, err)
		}
		if resp.StatusCode/100 != 1 || interim == maxInterim {
			break
		}
	}
	if err := statusError(resp); err != nil {
		return nil, "", err
	}
	tooLarge := &Error{Why: WhyTooLarge, About: strconv.Itoa(most), Err: fmt.Errorf("more than %d octets", most)}
	if resp.ContentLength > int64(most) {
		return nil, "", tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	switch {
	case len(body) > most || limited.N == 0:
		return nil, "", tooLarge
	case err != nil:
		return nil, "", exchangeError(ctx, err)
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return body, strings.ToLower(strings.TrimSpace(mediaType)), nil
}
