package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"
)

// How long a session lasts, and how many there are at most (the one that would
// end first makes room).
const (
	sessionIdle  = 12 * time.Hour
	sessionMost  = 7 * 24 * time.Hour
	mostSessions = 10000
)

// Cookie names. The prefix makes a browser refuse the cookie from anywhere but
// this host over TLS (RFC 6265bis §4.1.3.2).
const (
	cookieName       = "session"
	secureCookieName = "__Host-session"
)

// sessions are those who signed in since the program started. Only digests of
// the cookies are kept.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex
	all map[[32]byte]session
}

type session struct{ idle, end time.Time }

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[[32]byte]session{}}
}

// start makes a session and returns its cookie's value.
func (s *sessions) start() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	value := base64.RawURLEncoding.EncodeToString(raw)
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= mostSessions {
		s.makeRoom(now)
	}
	s.all[sha256.Sum256([]byte(value))] = session{idle: now.Add(sessionIdle), end: now.Add(sessionMost)}
	return value
}

// makeRoom drops what has ended, and if nothing has, what would end first.
func (s *sessions) makeRoom(now time.Time) {
	var oldest [32]byte
	var first time.Time
	for k, v := range s.all {
		if !now.Before(v.idle) || !now.Before(v.end) {
			delete(s.all, k)
			continue
		}
		if first.IsZero() || v.idle.Before(first) {
			oldest, first = k, v.idle
		}
	}
	if len(s.all) >= mostSessions {
		delete(s.all, oldest)
	}
}

// valid reports whether a cookie's value is of a session, and keeps it alive.
func (s *sessions) valid(value string) bool {
	if value == "" {
		return false
	}
	k := sha256.Sum256([]byte(value))
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.all[k]
	if !ok {
		return false
	}
	if !now.Before(v.idle) || !now.Before(v.end) {
		delete(s.all, k)
		return false
	}
	v.idle = now.Add(sessionIdle)
	s.all[k] = v
	return true
}

func (s *sessions) stop(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(value)))
}

// sessionOf returns the value of a request's session cookie, or "".
func sessionOf(r *http.Request) string {
	for _, name := range []string{secureCookieName, cookieName} {
		if c, err := r.Cookie(name); err == nil && c.Value != "" {
			return c.Value
		}
	}
	return ""
}

// cookie is the session's cookie; a value of "" takes it away.
func (g *Guard) cookie(r *http.Request, value string) *http.Cookie {
	c := &http.Cookie{Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(sessionMost.Seconds())}
	if g.c.Secure || r.TLS != nil {
		c.Name, c.Secure = secureCookieName, true
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}
