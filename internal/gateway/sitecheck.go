package gateway

import (
	"errors"
	"fmt"
	"net/url"

	"sekimori/internal/store/verdict"
)

// Check says what is wrong with a site: the first mistake, and how to mend it.
func (s *Site) Check() error {
	switch {
	case s.Mode != "" && s.Mode != Monitor && s.Mode != Enforce:
		return fmt.Errorf("mode %q: want monitor or enforce", s.Mode)
	case !oneOf(s.OnReject, verdict.Quarantine, verdict.Refuse, verdict.Mark):
		return fmt.Errorf("on_reject %q: want quarantine, refuse or mark", s.OnReject)
	case !oneOf(s.OnQuarantine, verdict.Quarantine, verdict.Mark):
		return fmt.Errorf("on_quarantine %q: want quarantine or mark", s.OnQuarantine)
	case !oneOf(s.OnTrouble, verdict.Accept, verdict.TryAgain):
		return fmt.Errorf("on_trouble %q: want accept or tempfail", s.OnTrouble)
	case !oneOf(s.OnBadFrom, verdict.Accept, verdict.Mark, verdict.Quarantine, verdict.Refuse):
		return fmt.Errorf("on_bad_from %q: want accept, mark, quarantine or refuse", s.OnBadFrom)
	}
	if err := checkID(s.AuthServID); err != nil && s.AuthServID != "" {
		return fmt.Errorf("authserv-id %q: %w", s.AuthServID, err)
	}
	for _, id := range s.TrustedIDs {
		if err := checkID(id); err != nil {
			return fmt.Errorf("trusted authserv-id %q: %w", id, err)
		}
	}
	if err := checkPage(s.ExplainURL); err != nil {
		return fmt.Errorf("explain_url %q: %w", s.ExplainURL, err)
	}
	for _, n := range s.Networks {
		if !n.IsValid() || n.Addr().Is4In6() {
			return fmt.Errorf("network %v: want a prefix such as 192.0.2.0/24 or 2001:db8::/32", n)
		}
	}
	for i := range s.Rules {
		if err := s.Rules[i].check(); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return nil
}

func (r *Rule) check() error {
	switch {
	case !r.Network.IsValid() && r.Forwarder.IsZero() && r.List.IsZero() && r.Sealer.IsZero() && r.From.IsZero() && r.MailFrom.IsZero():
		return errors.New("no condition: name a forwarder, list, sealer, network, from or mail_from")
	case r.Network.IsValid() && r.Network.Addr().Is4In6():
		return fmt.Errorf("network %v: write it as an IPv4 prefix", r.Network)
	case !oneOf(r.Action, verdict.Accept, verdict.Mark, verdict.Quarantine, verdict.Refuse):
		return fmt.Errorf("action %q: want accept, mark, quarantine or refuse", r.Action)
	}
	return nil
}

// oneOf also takes the empty action, which stands for the default.
func oneOf(a verdict.Action, allowed ...verdict.Action) bool {
	for _, x := range allowed {
		if a == x {
			return true
		}
	}
	return a == ""
}

// checkID: an authserv-id is a host's name or the like (RFC 8601 §2.5), short
// enough for a line.
func checkID(id string) error {
	if id == "" || len(id) > 255 {
		return errors.New("want 1 to 255 octets")
	}
	for i := 0; i < len(id); i++ {
		if c := id[i]; c <= ' ' || c == 0x7f || c == ';' || c == '"' || c == '\\' || c == '(' || c == ')' {
			return errors.New("want a host's name, without spaces and punctuation")
		}
	}
	return nil
}

// checkPage: an address that can stand in an SMTP reply. "%" is left out
// because MTAs take it for the start of a format.
func checkPage(page string) error {
	if page == "" {
		return nil
	}
	u, err := url.Parse(page)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("want an address such as https://mx.example.org/why")
	}
	if len(page) > 150 || u.Fragment != "" {
		return errors.New("want at most 150 octets, without \"#\"")
	}
	for i := 0; i < len(page); i++ {
		if c := page[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '<' || c == '>' || c == '"' {
			return fmt.Errorf("octet %d is %q: want plain ASCII without spaces and \"%%\"", i+1, c)
		}
	}
	return nil
}
