//go:build unix

package arrival

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"sekimori/authres"
	"sekimori/message"
)

// header reads the header of a delivered message.
func header(text []byte) (message.Header, []byte, error) {
	h, rest, err := message.Read(bytes.NewReader(text), len(text)+1)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(rest)
	return h, body, err
}

// said is what the gateway's field says, in the order in which it says it:
// "spf=pass bank.example; dkim=pass bank.example/r; dmarc=pass bank.example
// reject". BIMI is left out. The field must be the only one in our name, and
// the first of all: Postfix puts index 0 above its own Received.
func said(text []byte) (string, error) {
	h, _, err := header(text)
	if err != nil {
		return "", err
	}
	var ours *authres.Results
	for i, f := range h {
		if !f.Is("Authentication-Results") {
			continue
		}
		r, err := authres.Parse(f.Value())
		if err != nil {
			if bytes.Contains([]byte(strings.ToLower(f.Raw())), []byte(receiver)) {
				return "", errors.New("a field that cannot be read bears our name: " + f.Raw())
			}
			continue
		}
		if !strings.EqualFold(r.AuthServID, receiver) {
			continue
		}
		if ours != nil {
			return "", errors.New("a second field bears our name: " + f.Raw())
		}
		if i != 0 {
			return "", errors.New("the field is not on top: " + string(text[:min(len(text), 2000)]))
		}
		ours = r
	}
	if ours == nil {
		return "", errors.New("no field bears our name: " + string(text[:min(len(text), 2000)]))
	}
	var parts []string
	for _, r := range ours.Results {
		if slices.Contains([]string{"bimi", "smime"}, r.Method) {
			continue
		}
		part := r.Method + "=" + r.Value
		for _, p := range []struct{ before, ptype, name string }{
			{" ", "smtp", "mailfrom"}, {" ", "smtp", "auth"}, {" ", "header", "d"}, {"/", "header", "s"}, {" ", "header", "from"}, {" ", "policy", "dmarc"},
		} {
			if v, ok := r.Get(p.ptype, p.name); ok {
				part += p.before + v
			}
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; "), nil
}
