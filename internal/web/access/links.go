package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"sekimori/internal/store"
)

// tokenSize is the octets of a link's token before they are written out.
const tokenSize = 32

// NewToken returns a link's token and the hash under which it is kept: the
// token itself is shown once and kept nowhere.
func NewToken() (token string, hash [32]byte) {
	var b [tokenSize]byte
	rand.Read(b[:]) // never fails
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, sha256.Sum256([]byte(token))
}

// wellFormed reports whether a token is one that NewToken could have made.
func wellFormed(token string) bool {
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenSize) {
		return false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return err == nil
}

// ErrNoLink says that a link does not open anything: its token is unknown, it
// has expired, or it was revoked. Who holds it is not told which.
var ErrNoLink = errors.New("this link opens nothing: ask for a new one")

// ErrTooMany says that a client tried too many links.
type ErrTooMany struct{ Wait time.Duration }

func (ErrTooMany) Error() string { return "too many attempts: try again later" }

// ShareReader finds links by the hash of their token; *store.Store has it.
type ShareReader interface {
	ShareByHash(ctx context.Context, hash [32]byte) (store.Share, error)
}

// Links opens the links that show a department its own part. It is safe for
// concurrent use.
type Links struct {
	shares   ShareReader
	now      func() time.Time
	attempts *limiter
}

// NewLinks returns what opens the links that r knows; now is nil for the clock.
func NewLinks(r ShareReader, now func() time.Time) *Links {
	if now == nil {
		now = time.Now
	}
	return &Links{shares: r, now: now, attempts: newLimiter(now)}
}

// Open returns the share that a token opens now. Attempts that fail are
// counted for each client, as wrong passwords are. The token is looked up by
// its hash, so that how long that takes says nothing about tokens that exist.
func (l *Links) Open(r *http.Request, token string) (store.Share, error) {
	client := clientOf(r)
	if wait := l.attempts.take(client); wait > 0 {
		return store.Share{}, ErrTooMany{wait}
	}
	if !wellFormed(token) {
		return store.Share{}, ErrNoLink
	}
	hash := sha256.Sum256([]byte(token))
	s, err := l.shares.ShareByHash(r.Context(), hash)
	if errors.Is(err, store.ErrNotFound) {
		return store.Share{}, ErrNoLink
	}
	if err != nil {
		l.attempts.giveBack(client)
		return store.Share{}, err
	}
	now := l.now()
	if subtle.ConstantTimeCompare(hash[:], s.Hash[:]) != 1 || !s.Revoked.IsZero() || !now.Before(s.Expires) || s.Department == 0 {
		return store.Share{}, ErrNoLink
	}
	l.attempts.giveBack(client)
	return s, nil
}

// Host answers only requests for names that the guard knows, as Wrap does, for
// pages that need no password.
func (g *Guard) Host(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.knownHost(r.Host) {
			g.misdirected(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
