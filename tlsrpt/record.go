// Package tlsrpt reads, prints and checks the TXT record by which a domain asks
// for reports about SMTP TLS (RFC 8460 §3).
package tlsrpt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/taglist"
)

const version = "v=TLSRPTv1"

// maxRecord is the longest record that is read.
const maxRecord = 8192

// Record is the TXT record at _smtp._tls.DOMAIN.
type Record struct {
	// RUA are where reports go, as published: "mailto:…" or "https:…".
	RUA []string
	// Extensions are the fields that RFC 8460 does not know, in order; a
	// sender ignores them.
	Extensions []Field
}

// Field is a name and its value.
type Field = taglist.Field

// ErrSeveral is the error of more than one record: none (RFC 8460 §3).
var ErrSeveral = errors.New("several TLS-RPT records: publish one")

// Name is where the record of a domain is.
func Name(domain string) string { return "_smtp._tls." + domain }

// Begins reports whether a TXT record is one of TLS-RPT, valid or not; others
// at the name are ignored (RFC 8460 §3).
func Begins(txt string) bool {
	return taglist.Versioned(txt, version)
}

// Parse reads a record. All of it must be right: to a sender a record with a
// fault is none (RFC 8460 §3). A destination of another scheme than mailto and
// https is a fault. A second rua is an error.
func Parse(txt string) (*Record, error) {
	r := &Record{}
	err := taglist.Fields(txt, version, maxRecord, func(f Field, offset int) error {
		switch {
		case f.Name == "rua" && r.RUA != nil:
			return fmt.Errorf("octet %d: a second rua", offset+1)
		case f.Name == "rua":
			r.RUA = split(f.Value)
			for _, u := range r.RUA {
				if fault(u) != nil {
					return fmt.Errorf("octet %d: destination %.80q: want mailto:ADDRESS or https://…", offset+1, u)
				}
			}
		case !f.IsExtension():
			return fmt.Errorf("octet %d: %.40q: want NAME=VALUE", offset+1, f.Name)
		default:
			r.Extensions = append(r.Extensions, f)
		}
		return nil
	})
	if err == nil && r.RUA == nil {
		err = errors.New("no rua: want v=TLSRPTv1; rua=mailto:…")
	}
	if err != nil {
		return nil, fmt.Errorf("TLS-RPT record: %w", err)
	}
	return r, nil
}

func split(s string) []string {
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.Trim(parts[i], " \t")
	}
	return parts
}

// why a destination cannot be used.
type why string

const (
	badScheme why = "scheme"
	badURI    why = "uri"
)

// fault returns nil for a destination that can be used: a URI (RFC 3986) in
// which ",", "!" and ";" are percent-encoded (RFC 8460 §3).
func fault(u string) *why {
	w := badURI
	scheme, rest, ok := strings.Cut(u, ":")
	if !ok {
		return &w
	}
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c <= ' ' || c >= 0x7f || strings.IndexByte("!,;<>\"{}|\\^`", c) >= 0:
			return &w
		case c == '%' && (i+2 >= len(rest) || !hex(rest[i+1]) || !hex(rest[i+2])):
			return &w
		}
	}
	switch strings.ToLower(scheme) {
	case "mailto":
		addr, _, _ := strings.Cut(rest, "?")
		at := strings.LastIndexByte(addr, '@')
		if at < 1 || at == len(addr)-1 {
			return &w
		}
	case "https":
		host, ok := strings.CutPrefix(rest, "//")
		if !ok || host == "" || strings.IndexByte("/?#:", host[0]) >= 0 {
			return &w
		}
	default:
		w = badScheme
		return &w
	}
	return nil
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// String writes the record as it is published.
func (r *Record) String() string {
	var b strings.Builder
	b.WriteString(version + "; rua=" + strings.Join(r.RUA, ",") + ";")
	for _, f := range r.Extensions {
		b.WriteString(" " + f.Name + "=" + f.Value + ";")
	}
	return b.String()
}

// Found is what a domain's DNS says about TLS-RPT.
type Found struct {
	Domain string
	// Records are the records of TLS-RPT, at most 20; Other are the other
	// texts at the name, which a sender ignores.
	Records, Other []string
	// Record is the one that counts; nil where there is none, more than one,
	// or one with a fault: Err then says why.
	Record *Record
	Err    error
	// Temporary: the question failed, nothing is known.
	Temporary bool
	Security  dns.Security
	Findings  []explain.Finding
}

// Lookup asks for the record of a domain: one question.
func Lookup(ctx context.Context, r dns.Resolver, domain string) Found {
	domain = strings.TrimSuffix(domain, ".")
	a, err := r.Lookup(ctx, Name(domain), dns.TXT)
	f := Found{Domain: domain, Err: err, Security: a.Security, Temporary: err != nil && !dns.Absent(err)}
	if err != nil {
		return f
	}
	for _, txt := range a.Records[:min(len(a.Records), 20)] {
		if Begins(txt) {
			f.Records = append(f.Records, txt)
		} else {
			f.Other = append(f.Other, txt)
		}
	}
	switch len(f.Records) {
	case 0:
		f.Err = fmt.Errorf("%s: %w of TLS-RPT", Name(domain), dns.ErrNoData)
	case 1:
		f.Record, f.Err = Parse(f.Records[0])
	default:
		f.Err = ErrSeveral
	}
	f.Findings = LintAll(append(f.Records[:len(f.Records):len(f.Records)], f.Other...), domain)
	return f
}
