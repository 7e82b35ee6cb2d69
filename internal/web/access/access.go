// Package access decides who may see the dashboard and its API. It knows one
// password, with which people sign in and get a session, and one token, which
// programs send with each request (Authorization: Bearer TOKEN, RFC 6750 §2.1).
// With neither, everybody who reaches the address is let in; Check refuses such
// an address unless it is a loopback one, and then only requests that name the
// machine itself are answered, so that a page of another site cannot reach in by
// rebinding its name.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"sekimori/internal/locale"
)

// Least lengths of the secrets, in bytes.
const (
	MinPassword = 8
	MinToken    = 16
)

// Config says who is let in.
type Config struct {
	// Listen is the address listened on. A loopback one, with no secret,
	// answers only to names of the machine itself and to Hosts.
	Listen string
	// Hosts are further names (without port) that requests may be for. Where it
	// is set, requests for other names are refused whatever the secrets.
	Hosts []string
	// Password is what people sign in with: the password itself, or a hash of
	// it in bcrypt ($2b$…) or PHC argon2id ($argon2id$v=19$m=…,t=…,p=…$…$…)
	// form. "" is none; then Token serves for signing in too.
	Password string
	Token    string // "" is none
	// Secure marks cookies as for TLS only, where a proxy in front speaks TLS.
	// A request that came over TLS gets such cookies anyway.
	Secure bool
	// Page shows the sign-in page; nil shows a plain one. It is called after
	// the status was decided but not yet written: it writes SignIn.Status.
	Page   func(w http.ResponseWriter, r *http.Request, s SignIn)
	Lang   func(*http.Request) locale.Lang // of the plain page; nil reads Accept-Language
	Now    func() time.Time                // nil: time.Now
	Logger *slog.Logger                    // sign-ins, successful or not; nil discards them
}

// SignIn is what the sign-in page shows: a form that posts "password" and
// "next" to /sign-in.
type SignIn struct {
	Status int           // HTTP status of the page
	Next   string        // path to go on to afterwards; safe to put into the form
	Failed bool          // the password was wrong
	Wait   time.Duration // with Failed: too many attempts, try again after this
}

// Check refuses an address (HOST:PORT) that other machines can reach when
// there is no secret to keep them out.
func Check(listen string, secret bool) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("listen address %q: want HOST:PORT, such as 127.0.0.1:8025", listen)
	}
	if secret || loopbackHost(host) {
		return nil
	}
	return fmt.Errorf("listen address %q can be reached from other machines: set a password or a token first, or listen on 127.0.0.1", listen)
}

// loopbackHost reports whether a host, by name or address, is this machine's
// own. No name is looked up.
func loopbackHost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 §6.3
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

// Guard stands before a handler. It is safe for concurrent use.
type Guard struct {
	c        Config
	password verifier // nil: none
	token    *[32]byte
	local    bool // only names of the machine itself
	hosts    map[string]bool
	sessions *sessions
	attempts *limiter
	checking chan struct{} // bounds how many passwords are hashed at a time
}

// New returns a guard. It refuses secrets that are too short and addresses
// that Check refuses.
func New(c Config) (*Guard, error) {
	g := &Guard{c: c, hosts: map[string]bool{}, checking: make(chan struct{}, 2)}
	if c.Listen != "" {
		if err := Check(c.Listen, c.Password != "" || c.Token != ""); err != nil {
			return nil, err
		}
		if host, _, err := net.SplitHostPort(c.Listen); err == nil {
			g.local = loopbackHost(host) && c.Password == "" && c.Token == ""
		}
	}
	for _, h := range c.Hosts {
		g.hosts[strings.ToLower(strings.TrimSuffix(h, "."))] = true
	}
	if c.Password != "" {
		v, err := newVerifier(c.Password)
		if err != nil {
			return nil, err
		}
		g.password = v
	}
	if c.Token != "" {
		if len(c.Token) < MinToken {
			return nil, fmt.Errorf("the token is too short: want at least %d characters", MinToken)
		}
		sum := sha256.Sum256([]byte(c.Token))
		g.token = &sum
		if g.password == nil {
			g.password = plainPassword(sum)
		}
	}
	if g.c.Now == nil {
		g.c.Now = time.Now
	}
	if g.c.Logger == nil {
		g.c.Logger = slog.New(slog.DiscardHandler)
	}
	if g.c.Lang == nil {
		g.c.Lang = func(r *http.Request) locale.Lang { return locale.Match(r.Header.Get("Accept-Language")) }
	}
	if g.c.Page == nil {
		g.c.Page = g.plainPage
	}
	g.sessions = newSessions(g.c.Now)
	g.attempts = newLimiter(g.c.Now)
	return g, nil
}

// Wrap returns next behind the guard, which answers /sign-in, /sign-in.css and
// /sign-out itself.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", g.showSignIn)
	mux.HandleFunc("POST /sign-in", g.signIn)
	mux.HandleFunc("POST /sign-out", g.signOut)
	mux.HandleFunc("GET /sign-in.css", plainStyle)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		switch err := g.admit(r); {
		case err == nil:
			next.ServeHTTP(w, r)
		default:
			g.refuse(w, r, err)
		}
	})
	own := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.knownHost(r.Host) {
			g.misdirected(w, r)
			return
		}
		own.ServeHTTP(w, r)
	})
}

// misdirected refuses a request for a name that is not ours.
func (g *Guard) misdirected(w http.ResponseWriter, r *http.Request) {
	refusal(w, http.StatusMisdirectedRequest, "this server does not answer for "+strings.ToValidUTF8(r.Host, "?")+": use the address it listens on, or name the host in its configuration")
}

// knownHost keeps out pages whose name was made to point here (DNS rebinding):
// their requests name a host that is not ours.
func (g *Guard) knownHost(hostport string) bool {
	if !g.local && len(g.hosts) == 0 {
		return true
	}
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return loopbackHost(host) || g.hosts[strings.ToLower(strings.TrimSuffix(host, "."))]
}

// SignedIn reports whether a request bears a session, so that a page can
// offer to end it.
func (g *Guard) SignedIn(r *http.Request) bool { return g.sessions.valid(sessionOf(r)) }

// tooMany says that a client guessed too often.
type tooMany struct{ wait time.Duration }

func (t tooMany) Error() string { return "too many attempts: try again later" }

var (
	errNobody   = errors.New("sign in, or send a token (Authorization: Bearer TOKEN)")
	errBadToken = errors.New("the token is not right")
)

// admit decides about a request.
func (g *Guard) admit(r *http.Request) error {
	if g.password == nil { // no secret at all
		return nil
	}
	if h := r.Header.Get("Authorization"); h != "" && g.token != nil {
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return errNobody
		}
		client := clientOf(r)
		if wait := g.attempts.take(client); wait > 0 {
			return tooMany{wait}
		}
		sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1 {
			g.attempts.giveBack(client)
			return nil
		}
		g.c.Logger.WarnContext(r.Context(), "wrong token", "client", client.String())
		return errBadToken
	}
	if g.sessions.valid(sessionOf(r)) {
		return nil
	}
	return errNobody
}

// refuse sends people to the sign-in page and tells programs why.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var t tooMany
	switch {
	case errors.As(err, &t):
		w.Header().Set("Retry-After", seconds(t.wait))
		refusal(w, http.StatusTooManyRequests, err.Error())
	case errors.Is(err, errNobody) && wantsPage(r):
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, "/sign-in?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	default:
		challenge := `Bearer realm="reports"`
		if errors.Is(err, errBadToken) {
			challenge += `, error="invalid_token"` // RFC 6750 §3.1
		}
		w.Header().Set("WWW-Authenticate", challenge)
		refusal(w, http.StatusUnauthorized, err.Error())
	}
}

// wantsPage tells a person's browser on a page from a program.
func wantsPage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || strings.HasPrefix(r.URL.Path, "/api/") {
		return false
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// refusal is an answer with problem details (RFC 9457).
func refusal(w http.ResponseWriter, status int, detail string) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

// clientOf is whose attempts are counted together: the address of the client,
// of IPv6 its /64. Behind a proxy on this machine it is the address which that
// proxy names, the last of X-Forwarded-For; nobody else's header is believed.
func clientOf(r *http.Request) netip.Prefix {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	a := ap.Addr().Unmap()
	if err != nil {
		a = netip.IPv6Unspecified()
	}
	if a.IsLoopback() {
		list := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
		if v, err := netip.ParseAddr(strings.TrimSpace(list[len(list)-1])); err == nil {
			a = v.Unmap()
		}
	}
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}
