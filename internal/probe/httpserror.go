package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Why says why a fetch failed.
type Why string

const (
	// These are certain: asking again soon brings the same.
	WhyURL         Why = "url"         // nothing that is fetched
	WhyNoAddress   Why = "no-address"  // the host has none
	WhyAddress     Why = "address"     // the host's addresses are not of the public Internet
	WhyRefused     Why = "refused"     // nothing listens there
	WhyTLS         Why = "tls"         // no TLS 1.2 or later, or not for this name
	WhyCertificate Why = "certificate" // in no order
	WhyWrongName   Why = "certificate-name"
	WhyExpired     Why = "certificate-expired" // or not valid yet
	WhyUntrusted   Why = "certificate-untrusted"
	WhyRedirect    Why = "redirect"
	WhyStatus      Why = "status" // of HTTP: neither 200 nor one that passes
	WhyTooLarge    Why = "too-large"
	WhyMalformed   Why = "malformed" // the answer is not HTTP

	// These are temporary: nothing is known.
	WhyDNS         Why = "dns" // the host's addresses could not be asked for
	WhyTimeout     Why = "timeout"
	WhyBroken      Why = "broken"      // unreachable, or the connection broke off
	WhyUnavailable Why = "unavailable" // by its status (5xx, 429) the server cannot answer now
	WhyBusy        Why = "busy"        // the address did not answer the last times, and is left alone
)

// Error is why a fetch failed.
type Error struct {
	Why Why
	// About is the host, address, status, place of a redirect, names or date
	// of a certificate, or limit of octets that it is about; from outside, of
	// any octets.
	About string
	Err   error
	retry time.Duration // what the server asks for
}

// Error says it in English.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Why, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether nothing is known, as asking again may help.
func (e *Error) Temporary() bool {
	switch e.Why {
	case WhyDNS, WhyTimeout, WhyBroken, WhyUnavailable, WhyBusy, WhyRejected, WhyLater, WhyBlocked, WhyHandshake:
		return true
	}
	return false
}

// Reason is the Why, for those who know no type of this package.
func (e *Error) Reason() string { return string(e.Why) }

// Detail is what the error is about.
func (e *Error) Detail() string { return e.About }

func timedOut(ctx context.Context, err error) bool {
	var n net.Error
	return ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// dialError sums up why no address could be connected to. Refused is only
// said where all that could be reached refuse: an address of a family that
// this host lacks says nothing.
func dialError(ctx context.Context, failed []error) *Error {
	e := &Error{Why: WhyBroken, Err: errors.Join(failed...)}
	refused := 0
	for _, err := range failed {
		switch {
		case timedOut(ctx, err):
			e.Why = WhyTimeout
			return e
		case errors.Is(err, syscall.ECONNREFUSED):
			refused++
		case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		default:
			return e
		}
	}
	if refused > 0 {
		e.Why = WhyRefused
	}
	return e
}

func handshakeError(ctx context.Context, err error) *Error {
	e := &Error{Why: WhyTLS, Err: err}
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var roots x509.SystemRootsError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &roots):
		e.Why = WhyBroken // this host's fault
	case errors.As(err, &name):
		e.Why = WhyWrongName
		if c := name.Certificate; c != nil {
			e.About = strings.Join(c.DNSNames[:min(len(c.DNSNames), 5)], ", ")
		}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Why = WhyExpired
		if c := invalid.Cert; c != nil {
			e.About = c.NotAfter.UTC().Format(time.DateOnly)
			if c.NotBefore.After(time.Now()) {
				e.About = c.NotBefore.UTC().Format(time.DateOnly)
			}
		}
	case errors.As(err, &authority):
		e.Why = WhyUntrusted
		if v := (*tls.CertificateVerificationError)(nil); errors.As(err, &v) && len(v.UnverifiedCertificates) > 0 {
			e.About = v.UnverifiedCertificates[len(v.UnverifiedCertificates)-1].Issuer.String()
		}
	case errors.As(err, &verification):
		e.Why = WhyCertificate
	case timedOut(ctx, err):
		e.Why = WhyTimeout
	case cutOff(err):
		e.Why = WhyBroken
	}
	return e
}

// cutOff reports whether a connection ended in the middle.
func cutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func exchangeError(ctx context.Context, err error) *Error {
	e := &Error{Why: WhyMalformed, Err: err}
	var op *net.OpError
	var alert tls.AlertError
	switch {
	case timedOut(ctx, err):
		e.Why = WhyTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &op), errors.As(err, &alert),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Why = WhyBroken
	}
	return e
}

// statusError is the error of a status that is not 200 (RFC 8461 §3.3).
func statusError(resp *http.Response) error {
	code := resp.StatusCode
	e := &Error{Why: WhyStatus, About: strconv.Itoa(code), Err: fmt.Errorf("HTTP status %d", code)}
	switch {
	case code == http.StatusOK:
		return nil
	case code/100 == 3:
		e.Why, e.About = WhyRedirect, resp.Header.Get("Location")
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code/100 == 5:
		e.Why = WhyUnavailable
		if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
			e.retry = pause
			if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
				e.retry = min(time.Duration(min(s, 3600))*time.Second, maxPause)
			}
		}
	}
	return e
}
