package watch

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekimori/explain"
	"sekimori/internal/store"
)

// Webhook is told of each alert by an HTTP POST of a JSON document. Three
// fields go with it, in the manner of Standard Webhooks: Webhook-Id, the same
// for each attempt; Webhook-Timestamp, the Unix time of this attempt; and
// Webhook-Signature, "v1," and the base64 of an HMAC-SHA256 (RFC 2104) over id,
// ".", timestamp, "." and the body. Any answer of the 2xx kind is a receipt.
type Webhook struct {
	// URL is https, or http to an address of this machine.
	URL string
	// Secret is the key of the signature: octets, or, after "whsec_", base64.
	// Without one nothing is signed.
	Secret string
	// Client sends; nil means one of its own. Its redirects are Webhook's.
	Client *http.Client
}

const (
	webhookLimit     = 20 * time.Second
	webhookAnswer    = 16 << 10 // octets of an answer that are read
	webhookRedirects = 3
)

// retryError says when the other side wants to be asked again.
type retryError struct {
	error
	after time.Duration
}

func (h *Webhook) check() error {
	u, err := url.Parse(h.URL)
	if err != nil {
		return err
	}
	switch {
	case u.Host == "" || u.User != nil:
		return fmt.Errorf("%q: want an address such as https://hooks.example.jp/mail, without a name and password in it", h.URL)
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return fmt.Errorf("%q: want https; http is for addresses of this machine only", h.URL)
	}
	_, err = h.key()
	return err
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (h *Webhook) key() ([]byte, error) {
	b, ok := strings.CutPrefix(h.Secret, "whsec_")
	if !ok {
		return []byte(h.Secret), nil
	}
	key, err := base64.StdEncoding.DecodeString(b)
	if err != nil {
		return nil, errors.New("the secret's part after whsec_ is no base64")
	}
	return key, nil
}

// signature is the value of Webhook-Signature.
func signature(key []byte, id, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, key)
	_, _ = io.WriteString(m, id+"."+timestamp+".") // a hash takes everything
	_, _ = m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// post makes one attempt. Redirects are followed within the same host only, and
// only those that keep the method (RFC 9110 §15.4.8, §15.4.9).
func (h *Webhook) post(ctx context.Context, id string, now time.Time, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, webhookLimit)
	defer cancel()
	key, err := h.key()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sekimori")
	req.Header.Set("Webhook-Id", id)
	timestamp := strconv.FormatInt(now.Unix(), 10)
	req.Header.Set("Webhook-Timestamp", timestamp)
	if len(key) > 0 {
		req.Header.Set("Webhook-Signature", signature(key, id, timestamp, body))
	}
	res, err := h.client(req.URL).Do(req)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, webhookAnswer)) // so that the connection can be used again
	switch {
	case 200 <= res.StatusCode && res.StatusCode <= 299:
		return nil
	case res.StatusCode == http.StatusGone:
		return fmt.Errorf("%w: the webhook answers %s", ErrRefused, res.Status)
	}
	err = fmt.Errorf("the webhook answers %s", res.Status)
	// RFC 9110 §10.2.3: seconds; a date is not worth reading here.
	if s, e := strconv.Atoi(res.Header.Get("Retry-After")); e == nil && s > 0 {
		return retryError{err, time.Duration(min(s, 1<<20)) * time.Second}
	}
	return err
}

// client is the one to send with. It goes to this machine only where the
// address says so: a name that led elsewhere would carry secrets in the clear.
func (h *Webhook) client(u *url.URL) *http.Client {
	c := http.Client{}
	if h.Client != nil {
		c = *h.Client
	} else if u.Scheme == "http" {
		t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			if a, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
				conn.Close()
				return nil, fmt.Errorf("%s is not this machine", addr)
			}
			return conn, nil
		}}
		c.Transport = t
	}
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		switch first := via[0].URL; {
		case len(via) > webhookRedirects:
			return errors.New("it leads on and on")
		case req.URL.Scheme != first.Scheme || req.URL.Host != first.Host:
			return fmt.Errorf("it leads to another host, %s; set alerts.webhook to that if it is right", req.URL.Host)
		case req.Method != http.MethodPost:
			return http.ErrUseLastResponse
		}
		return nil
	}
	return &c
}

// document is what a webhook gets.
func (w *Watcher) document(a store.Alert, n Notice) ([]byte, error) {
	type sentence struct {
		explain.Step
		Text map[string]string `json:"text"`
	}
	word := func(s explain.Step) sentence {
		out := sentence{s, map[string]string{}}
		for _, l := range w.c.Langs {
			out.Text[l] = w.say(l, s)
		}
		return out
	}
	more := []sentence{}
	for _, s := range n.More {
		more = append(more, word(s))
	}
	return json.Marshal(struct {
		ID      string     `json:"id"`
		Event   string     `json:"event"`
		Kind    string     `json:"kind"`
		Domain  string     `json:"domain"`
		At      time.Time  `json:"at"`
		What    sentence   `json:"what"`
		Details []sentence `json:"details"`
		URL     string     `json:"url"`
	}{a.ID, n.Event, n.Kind, n.Domain, n.At, word(n.Step), more, w.link(n)})
}
