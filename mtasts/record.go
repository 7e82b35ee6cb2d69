// Package mtasts reads, prints and checks what SMTP MTA Strict Transport
// Security (RFC 8461) has a domain publish: the TXT record that says that there
// is a policy, and the policy itself, a text that is fetched by HTTPS. Fetching
// is not done here.
package mtasts

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sekimori/dns"
	"sekimori/explain"
	"sekimori/taglist"
)

const version = "v=STSv1"

// maxRecord is the longest record that is read.
const maxRecord = 4096

// Record is the TXT record at _mta-sts.DOMAIN. It is comparable by its text.
type Record struct {
	// ID changes with the policy: 1 to 32 letters and digits.
	ID string
	// Extensions are the fields that RFC 8461 does not know, in order; a
	// sender ignores them.
	Extensions []Field
}

// Field is a name and its value.
type Field = taglist.Field

// ErrSeveral is the error of more than one record: no policy (RFC 8461 §3.1).
var ErrSeveral = errors.New("several MTA-STS records: publish one")

// Name is where the record of a domain is.
func Name(domain string) string { return "_mta-sts." + domain }

// Begins reports whether a TXT record is one of MTA-STS, valid or not; others
// at the name are ignored (RFC 8461 §3.1).
func Begins(txt string) bool {
	return taglist.Versioned(txt, version)
}

// Parse reads a record. All of it must be right: to a sender a record with a
// fault is none (RFC 8461 §3.1). A repeated extension is kept; a repeated id is
// an error, as it does not say which policy there is.
func Parse(txt string) (*Record, error) {
	r := &Record{}
	err := taglist.Fields(txt, version, maxRecord, func(f Field, offset int) error {
		switch {
		case f.Name == "id" && r.ID != "":
			return fmt.Errorf("octet %d: a second id", offset+1)
		case f.Name == "id" && !isID(f.Value):
			return fmt.Errorf("octet %d: id %.40q: want 1 to 32 letters and digits", offset+1, f.Value)
		case f.Name == "id":
			r.ID = f.Value
		case !f.IsExtension():
			return fmt.Errorf("octet %d: %.40q: want NAME=VALUE", offset+1, f.Name)
		default:
			r.Extensions = append(r.Extensions, f)
		}
		return nil
	})
	if err == nil && r.ID == "" {
		err = errors.New("no id: want v=STSv1; id=…")
	}
	if err != nil {
		return nil, fmt.Errorf("MTA-STS record: %w", err)
	}
	return r, nil
}

func isID(s string) bool {
	for i := 0; i < len(s); i++ {
		if !alnum(s[i]) {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 32
}

func alnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// String writes the record as it is published.
func (r *Record) String() string {
	var b strings.Builder
	b.WriteString(version + "; id=" + r.ID + ";")
	for _, f := range r.Extensions {
		b.WriteString(" " + f.Name + "=" + f.Value + ";")
	}
	return b.String()
}

// Found is what a domain's DNS says about MTA-STS.
type Found struct {
	Domain string
	// Records are the records of MTA-STS, at most 20; Other are the other
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
		f.Err = fmt.Errorf("%s: %w of MTA-STS", Name(domain), dns.ErrNoData)
	case 1:
		f.Record, f.Err = Parse(f.Records[0])
	default:
		f.Err = ErrSeveral
	}
	f.Findings = LintAll(append(f.Records[:len(f.Records):len(f.Records)], f.Other...), domain)
	return f
}
