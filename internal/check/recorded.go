package check

import (
	"net/netip"
	"strings"

	"sekimori/authres"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/message"
	"sekimori/spf"
)

// Recorded is what the server that received a message wrote down about it, in
// its own words: those of RFC 8601 and others, such as "bestguesspass". A
// method of which it wrote nothing is "". The zero Recorded is a message of
// which nothing was recorded.
type Recorded struct {
	SPF, DKIM, DMARC string
	// Host is the server's authserv-id or, where it gave none, its name.
	Host string
	// Passed are the DKIM signatures that passed then; at most 20.
	Passed []RecordedKey
	// Ignored counts the fields of others: what the sender may have brought
	// along.
	Ignored int
	Steps   []explain.Step
}

// RecordedKey names the key of a signature. Selector is "" where the server
// did not write it, as Microsoft's.
type RecordedKey struct {
	Domain   domain.Name
	Selector string
}

// maxRecordedKeys bounds Recorded.Passed.
const maxRecordedKeys = 20

// IsZero reports whether nothing was recorded.
func (r *Recorded) IsZero() bool { return r.SPF == "" && r.DKIM == "" && r.DMARC == "" }

// Record reads from a header what the receiving server recorded in its
// Authentication-Results and, for SPF, in Received-SPF, and never what the
// sender brought along.
//
// ids are the names under which the server writes (authserv-id); one counts
// for the names below it as well. The topmost field that bears one is then
// believed, and a message that has none has nothing recorded: who names a
// server vouches that it writes, or removes, its fields in every message.
//
// Without ids, the border is looked for as Derive does. What stands above the
// border's Received field was written inside. Below it, up to the first field
// that a sender writes, a field is the server's only if its authserv-id
// belongs with the border's own name: Gmail and milters write there. A border
// that writes no such field, and leaves those of others in place, cannot be
// told from one that does; then name the server.
//
// A message without any Received field passed no border; the topmost field is
// believed then.
//
// Of several fields, those that belong with the border's name come first, then
// those nearest above it; a method counts as in the first field that has it. A field
// without authserv-id, as Microsoft writes it, is the border's.
//
// Several DKIM results are one word: pass if any passes; else the one whose
// domain belongs with from; else the most telling, see DKIMWord. Where the
// server wrote its results without DKIM and the message bears no signature,
// DKIM is "none" (RFC 8601 §2.7.1); so is DMARC where Gmail wrote none, which
// it does for domains without a record.
func Record(h message.Header, from domain.Name, ids []string, trust []netip.Prefix) Recorded {
	r := recorder{ids: ids, trace: trace{trust: trust}}
	r.read(h)
	return r.result(h, from)
}

// recorder looks for the fields of the receiving server.
type recorder struct {
	ids   []string
	trace trace

	by     string // the border's own name
	client netip.Addr
	fields []noted
	other  int
	// hops are the Received fields from the border down, as far as anybody needs
	// them; hops[0] stands for what is above the border.
	hops []hop
}

// hop is a Received field.
type hop struct {
	by       string
	internal bool // of its server, see trace.internal
}

// noted is a field that may be the server's.
type noted struct {
	hop     int  // 0 above the border's Received, 1 right below it, and so on
	late    bool // it stands below a field that a sender writes
	host    string
	results *authres.Results // nil for Received-SPF
	spf     spf.Received
}

// read collects the fields that may be the server's. They come out in the
// order in which they are believed.
func (r *recorder) read(h message.Header) {
	r.hops = []hop{{}}
	senders := false // the fields that the hop's server wrote are passed
	nameless := 0    // fields before this one have the name of the next Received
	for i, f := range h {
		if i == maxTrace {
			break
		}
		at := len(r.hops) - 1
		switch {
		case f.Is("Received"):
			got := message.ParseReceived(f.Value())
			for ; at == 0 && nameless < len(r.fields); nameless++ {
				if n := &r.fields[nameless]; n.host == "" {
					n.host = got.By
				}
			}
			internal := r.trace.internal(got)
			if at == 0 && internal {
				continue
			}
			if at == 0 {
				r.by, r.client = got.By, got.IP.Unmap().WithZone("")
			}
			r.hops = append(r.hops, hop{got.By, internal})
			senders = false
		case f.Is("Authentication-Results"):
			if a, err := authres.Parse(f.RawValue()); err == nil {
				r.fields = append(r.fields, noted{hop: at, late: senders, host: a.AuthServID, results: a})
			}
		case f.Is("Received-SPF"):
			if s, err := spf.ParseReceivedSPF(f.Value()); err == nil {
				r.fields = append(r.fields, noted{hop: at, late: senders, host: s.Receiver, spf: s})
			}
		case senderField(f):
			senders = true
		}
	}
	if len(r.hops) == 1 {
		r.untraced()
	}
	r.choose()
}

// untraced prepares the fields of a message without any Received field. It
// passed no border behind which a sender could have written: every server adds
// one. The field on top is believed, with those of its server; those below a
// sender's field only where none stands above it.
func (r *recorder) untraced() {
	for i := range r.fields {
		n := &r.fields[i]
		n.hop = 1
		n.late = n.late && !r.fields[0].late
	}
}

// senderField tells fields of a message as it was sent: below the first of
// them nothing is the receiving server's.
func senderField(f message.Field) bool {
	for _, n := range [...]string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "DKIM-Signature", "Reply-To", "Sender"} {
		if f.Is(n) {
			return true
		}
	}
	return false
}

// choose leaves the fields of one server, the most trustworthy first.
func (r *recorder) choose() {
	all := r.fields
	r.fields = nil
	border, first := 1, true
	var above, below []noted
	for _, n := range all {
		if !r.owned(n) {
			r.other++
			continue
		}
		if first && len(r.ids) > 0 && len(r.hops) > 1 {
			border = r.border(n)
		}
		first = false
		// Above the border the lowest was written first, at the border; below it
		// the topmost is the server's.
		switch {
		case n.hop == 0 || n.hop < border:
			above = append([]noted{n}, above...)
		case n.hop == border:
			below = append(below, n)
		default:
			r.other++
		}
	}
	own := append(above, below...)
	if len(own) == 0 && len(r.ids) == 0 && within(r.by, "outlook.com") {
		// Microsoft writes no name, and writes its field always: this one.
		for _, n := range all {
			if n.hop == 1 && !n.late && n.host == "" && n.results != nil {
				n.host = r.by
				own = append(own, n)
				r.other--
				break
			}
		}
	}
	id, found := "", false
	for _, want := range []func(noted) bool{
		func(n noted) bool { return n.results != nil && sameHost(n.host, r.by) },
		func(n noted) bool { return n.results != nil && related(n.host, r.by) },
		func(n noted) bool { return n.results != nil },
		func(n noted) bool { return true },
	} {
		for _, n := range own {
			if !found && want(n) {
				id, found = n.host, true
			}
		}
	}
	for _, n := range own {
		// Gmail's Received-SPF names no receiver, and not all put the same name
		// into both fields.
		if n.results == nil && n.host == "" && n.hop == 1 || n.host == id || sameHost(n.host, id) || related(n.host, id) {
			r.fields = append(r.fields, n)
		} else {
			r.other++
		}
	}
}

// border finds the Received field by which the server of a field took the
// message from outside: from the field down, past hops inside the server.
func (r *recorder) border(n noted) int {
	own := func(by string) bool { return r.named(by) || related(by, n.host) || sameHost(by, n.host) }
	at := n.hop
	for at+1 < len(r.hops) && (at == 0 || r.hops[at].internal || !own(r.hops[at].by)) && own(r.hops[at+1].by) {
		at++
	}
	return at
}

// named reports whether a host has one of the names that were given.
func (r *recorder) named(host string) bool {
	for _, id := range r.ids {
		if sameHost(host, id) || within(host, strings.Trim(id, ".")) {
			return true
		}
	}
	return false
}

// owned reports whether a field may be the server's.
func (r *recorder) owned(n noted) bool {
	if n.hop > 0 && n.late {
		return false
	}
	if len(r.ids) > 0 {
		host := n.host
		if host == "" && n.hop == 1 && n.results == nil {
			host = r.by
		}
		return r.named(host)
	}
	switch {
	case n.hop == 0 || len(r.hops) == 1:
		return true
	case n.hop > 1:
		return false
	case n.results == nil:
		return n.spf.ClientIP.IsValid() && n.spf.ClientIP.Unmap() == r.client &&
			(n.host == "" || sameHost(n.host, r.by) || related(n.host, r.by))
	}
	return sameHost(n.host, r.by) || related(n.host, r.by)
}

func sameHost(a, b string) bool {
	a, b = strings.TrimRight(a, "."), strings.TrimRight(b, ".")
	return strings.EqualFold(a, b) && a != ""
}

// related reports whether two hosts are of one organisation.
func related(a, b string) bool {
	x, err := domain.Parse(a)
	if err != nil {
		return false
	}
	y, err := domain.Parse(b)
	return err == nil && !x.Organizational().IsZero() && x.Organizational() == y.Organizational()
}

// result joins the fields.
func (r *recorder) result(h message.Header, from domain.Name) Recorded {
	out := Recorded{Ignored: r.other}
	wrote := false
	for _, n := range r.fields {
		if n.results == nil {
			continue
		}
		if !wrote {
			out.Host, wrote = clip(n.host), true
		}
		if out.SPF == "" {
			if all := n.results.All("spf"); len(all) > 0 {
				one := all[0]
				for _, x := range all {
					if _, ok := x.Get("smtp", "mailfrom"); ok { // rather than HELO
						one = x
						break
					}
				}
				out.SPF = out.word(one)
			}
		}
		if all := n.results.All("dkim"); out.DKIM == "" && len(all) > 0 {
			out.dkim(all, from)
		}
		if all := n.results.All("dmarc"); out.DMARC == "" && len(all) > 0 {
			out.DMARC = out.word(all[0])
		}
	}
	if wrote && out.DKIM == "" && !h.Has("DKIM-Signature") {
		out.DKIM = "none"
	}
	if wrote && out.DMARC == "" && sameHost(out.Host, "mx.google.com") {
		out.DMARC = "none"
	}
	for _, n := range r.fields {
		if n.results != nil || out.SPF != "" || n.spf.Identity == spf.Helo {
			continue
		}
		out.SPF = string(n.spf.Status)
		if n.spf.Status == spf.Pass && strings.Contains(strings.ToLower(n.spf.Comment), "best guess") {
			out.SPF = "none" // no record stands behind it
			out.Steps = append(out.Steps, explain.Step{Code: "authres.best-guess", Ref: "RFC 8601 §2.7",
				Args: explain.Args{"method": "spf", "written": "pass (best guess record)"}})
		}
		if out.Host == "" {
			out.Host = clip(n.host)
		}
		if out.Host == "" {
			out.Host = clip(r.by)
		}
	}
	out.explain()
	return out
}

// explain puts the sentence that sums it up before the others.
func (r *Recorded) explain() {
	sum := explain.Step{Code: "check.recorded-nothing", Ref: "RFC 8601 §5"}
	if !r.IsZero() {
		show := func(word string) string {
			if word == "" {
				return "–"
			}
			return word
		}
		sum = explain.Step{Code: "check.recorded", Ref: "RFC 8601 §2.7", Args: explain.Args{"host": show(r.Host), "spf": show(r.SPF), "dkim": show(r.DKIM), "dmarc": show(r.DMARC)}}
	}
	steps := []explain.Step{sum}
	if r.Ignored > 0 {
		steps = append(steps, explain.Step{Code: "check.recorded-ignored", Ref: "RFC 8601 §5", Args: explain.Args{"n": int64(r.Ignored)}})
	}
	r.Steps = append(steps, r.Steps...)
}

// dkim joins the results of several signatures.
func (r *Recorded) dkim(all []authres.Result, from domain.Name) {
	best := ""
	ownBest := false
	for _, x := range all {
		word := r.word(x)
		d, selector := signer(x)
		if word == "pass" && !d.IsZero() && len(r.Passed) < maxRecordedKeys {
			r.Passed = append(r.Passed, RecordedKey{d, selector})
		}
		own := belongs(d, from)
		if best == "" || preferDKIM(word, own, best, ownBest) {
			best, ownBest = word, own
		}
	}
	r.DKIM = best
}

// signer is whose signature a result is about.
func signer(x authres.Result) (domain.Name, string) {
	d, ok := x.Get("header", "d")
	if !ok {
		i, _ := x.Get("header", "i")
		d = i[strings.LastIndexByte(i, '@')+1:]
	}
	name, err := domain.Parse(d)
	if err != nil {
		return domain.Name{}, ""
	}
	s, _ := x.Get("header", "s")
	if sel, err := domain.Parse(s); err == nil && len(s) <= 200 {
		return name, sel.String()
	}
	return name, ""
}

// word is the result as it was written, where it is a word; "" elsewhere.
func (r *Recorded) word(x authres.Result) string {
	for _, w := range [...]string{x.Note, x.Value} {
		if keyword(w) {
			if w != x.Note {
				if s, ok := x.Noted(); ok {
					r.Steps = append(r.Steps, s)
				}
			}
			return w
		}
	}
	return ""
}

// keyword tells a word that may be tabulated: whoever wrote it.
func keyword(s string) bool {
	if s == "" || len(s) > 20 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') && (i == 0 || c != '-') {
			return false
		}
	}
	return true
}
