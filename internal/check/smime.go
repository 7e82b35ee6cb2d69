package check

import (
	"context"
	"io"
	"strings"
	"time"

	"sekimori/authres"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/message"
	"sekimori/smime"
)

// kept is the body of a message that says it is signed by S/MIME, or that may
// contain one that a mailing list has added something to, whose signature can be looked at only when all of it is there. A long one waits in
// a temporary file.
type kept struct {
	spool *spool
	most  int64
	cut   bool
	err   error // it could not be kept
}

// keep begins to keep the body, if there is somebody to look at it and the
// header says that it is worth it. Other messages cost one look at the header.
func (n *Checking) keep(h message.Header) {
	v := n.checker.SMIME
	if v == nil || !smime.Announced(h) && !smime.Wrapping(h) {
		return
	}
	n.kept = &kept{spool: newSpool(n.checker.TempDir), most: smime.MaxBody}
	if b := int64(v.Limits.Body); b > 0 && b < n.kept.most {
		n.kept.most = b
	}
}

func (k *kept) write(p []byte) {
	switch {
	case k.cut || k.err != nil:
	case k.spool.n+int64(len(p)) > k.most:
		k.cut = true
	default:
		_, k.err = k.spool.Write(p)
	}
}

// atOnce is how many long bodies are in memory at a time, for each Checker.
const atOnce = 2

// smime verifies what was kept.
func (n *Checking) smime(ctx context.Context) *smime.Result {
	k := n.kept
	if k == nil {
		return nil
	}
	n.kept = nil
	defer k.spool.free()
	if k.spool.f != nil && !k.cut && k.err == nil {
		select {
		case n.checker.long <- struct{}{}:
			defer func() { <-n.checker.long }()
		case <-ctx.Done():
			k.err = ctx.Err()
		}
	}
	in := smime.Input{Header: n.header, Cut: k.cut, Arrived: n.checker.now(n.input)}
	if !k.cut && k.err == nil {
		in.Body = k.spool.buf
		if k.spool.f != nil {
			in.Body = make([]byte, k.spool.n)
			_, k.err = io.ReadFull(k.spool.reader(), in.Body)
		}
	}
	if k.err != nil {
		if !smime.Announced(n.header) {
			return nil // nothing speaks for a signature
		}
		why := explain.Step{Code: "check.smime-not-kept"}
		return &smime.Result{Status: smime.TempError, Form: smime.Unseen, Reason: why, Steps: []explain.Step{why}}
	}
	r := n.checker.SMIME.Verify(ctx, in)
	if r.Form == "" && r.Status == smime.None {
		return nil
	}
	return &r
}

// smimeStep explains the result for S/MIME.
func smimeStep(r *smime.Result) explain.Step {
	s := explain.Step{Code: "check.smime-unsigned", Ref: "RFC 8551 §3", Args: explain.Args{"result": string(r.Status)}, Children: r.Steps}
	if !r.Signed() || len(r.Signers) == 0 {
		return s
	}
	s.Code = "check.smime"
	s.Args["signers"] = int64(len(r.Signers))
	s.Children = r.Steps[:len(r.Steps):len(r.Steps)]
	if len(r.Signers) == 1 {
		s.Children = append(s.Children, r.Signers[0].Steps...)
		return s
	}
	for i := range r.Signers {
		one := &r.Signers[i]
		name := one.Address
		if name == "" {
			name = one.Subject
		}
		if name == "" {
			name = "–" // its certificate could not be read
		}
		s.Children = append(s.Children, explain.Step{Code: "check.smime-signer", Ref: "RFC 5652 §5.1", Children: one.Steps,
			Args: explain.Args{"result": string(one.Status), "name": clip(name)}})
	}
	return s
}

// smimeResults are the results for Authentication-Results, one for each
// signature (RFC 7281 §4). A message without any says nothing.
func smimeResults(r *smime.Result) []authres.Result {
	if r == nil || !r.Signed() && r.Form != smime.Unseen {
		return nil
	}
	part := func(x authres.Result) authres.Result {
		if r.Part != "" && !r.Whole {
			x.Props = append(x.Props, authres.Prop{Type: "body", Name: "smime-part", Value: r.Part})
		}
		return x
	}
	if len(r.Signers) == 0 {
		return []authres.Result{part(authres.Result{Method: "smime", Value: string(r.Status), Reason: reasonToken(r.Reason)})}
	}
	out := make([]authres.Result, 0, len(r.Signers))
	for i := range r.Signers {
		s := &r.Signers[i]
		x := authres.Result{Method: "smime", Value: string(s.Status)}
		if s.Status != smime.Pass {
			x.Reason = reasonToken(s.Reason)
		}
		if s.Address != "" {
			x.Props = append(x.Props, authres.Prop{Type: "body", Name: "smime-identifier", Value: addressInASCII(s.Address)})
		}
		out = append(out, part(x))
	}
	return out
}

// addressInASCII writes the domain of an address in A-labels. The local part
// stays: it has no other form (RFC 6532).
func addressInASCII(a string) string {
	local, host := message.SplitAddress(a)
	if d, err := domain.Parse(host); err == nil {
		host = d.String()
	}
	return message.Address{Local: local, Domain: host}.String()
}

// reasonToken is a reason as one token, such as "content-differs".
func reasonToken(s explain.Step) string {
	_, token, _ := strings.Cut(s.Code, ".")
	return token
}

// smimeDocument is the JSON form of the result for S/MIME. It is absent where
// a message shows no S/MIME at all.
type smimeDocument struct {
	Result    string                `json:"result"`
	Form      string                `json:"form"` // detached, opaque, encrypted, certs-only, compressed, unseen
	Whole     bool                  `json:"whole"`
	Encrypted bool                  `json:"encrypted"`
	Part      string                `json:"part"`
	Roots     string                `json:"roots"`      // given, system
	Revoked   string                `json:"revocation"` // always not-asked
	Reason    string                `json:"reason"`
	Signers   []smimeSignerDocument `json:"signers"`
}

type smimeSignerDocument struct {
	Result      string     `json:"result"`
	Subject     string     `json:"subject"`
	Issuer      string     `json:"issuer"`
	Serial      string     `json:"serial"`
	Addresses   []string   `json:"addresses"`
	Address     string     `json:"address"`
	MatchedIn   string     `json:"matched_in"` // from, sender or ""
	Digest      string     `json:"digest"`
	Scheme      string     `json:"scheme"`
	KeyBits     int        `json:"key_bits"`
	SigningTime *time.Time `json:"signing_time"`
	NotBefore   *time.Time `json:"not_before"`
	NotAfter    *time.Time `json:"not_after"`
	Signature   string     `json:"signature"` // yes, no, unknown; and so on
	Chain       string     `json:"chain"`
	Valid       string     `json:"valid"`
	Match       string     `json:"match"` // address, domain, organization, none, unknown
	Usage       string     `json:"usage"`
	Reason      string     `json:"reason"`
}

func newSMIMEDocument(r *smime.Result) *smimeDocument {
	if r == nil {
		return nil
	}
	d := &smimeDocument{Result: string(r.Status), Form: string(r.Form), Whole: r.Whole, Encrypted: r.Encrypted, Part: r.Part,
		Roots: string(r.Roots), Revoked: "not-asked", Reason: reasonToken(r.Reason), Signers: []smimeSignerDocument{}}
	for i := range r.Signers {
		s := &r.Signers[i]
		x := smimeSignerDocument{Result: string(s.Status), Subject: s.Subject, Issuer: s.Issuer, Serial: s.Serial, Addresses: []string{},
			Address: text(s.Address), MatchedIn: s.MatchedIn, Digest: s.Digest, Scheme: s.Scheme, KeyBits: s.KeyBits,
			SigningTime: known(s.SigningTime), NotBefore: known(s.NotBefore), NotAfter: known(s.NotAfter),
			Signature: string(s.Signature), Chain: string(s.Chain), Valid: string(s.Valid), Match: string(s.Match), Usage: string(s.Usage),
			Reason: reasonToken(s.Reason)}
		for _, a := range s.Addresses {
			x.Addresses = append(x.Addresses, text(a))
		}
		d.Signers = append(d.Signers, x)
	}
	return d
}

// known is nil for a time that is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
