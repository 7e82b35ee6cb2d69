package access

import (
	"net/url"
	"testing"
)

// FuzzSafeNext holds that nothing leads a browser away from this server.
func FuzzSafeNext(f *testing.F) {
	for _, s := range []string{"/", "/a?b=c#d", "//evil.example", `/\evil.example`, "/\t/evil.example", "https:evil", "/%2f%2fevil.example", "/sign-in"} {
		f.Add(s)
	}
	base, err := url.Parse("http://127.0.0.1:8025/sign-in")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		next := safeNext(s)
		u, err := base.Parse(next)
		if err != nil || u.Host != base.Host || u.Scheme != "http" || u.User != nil || next[0] != '/' || len(next) > 1 && (next[1] == '/' || next[1] == '\\') {
			t.Errorf("safeNext(%q) = %q leads to %v, %v", s, next, u, err)
		}
	})
}

// FuzzPassword holds that any configured line is read or refused.
func FuzzPassword(f *testing.F) {
	for _, s := range []string{"correct horse", "$2b$04$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := newVerifier(s)
		if (v == nil) == (err == nil) {
			t.Errorf("newVerifier(%q) = %v, %v", s, v, err)
		}
	})
}
