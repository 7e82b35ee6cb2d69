// Package posture looks at how a domain is protected against mail in its name
// and on the way to it: every record that it publishes for mail, what is
// wrong with them, and what to publish instead.
//
// Inspect asks the DNS, and looks further (by HTTPS at what records point to)
// where Options say with what. What an unanswered question hides is unknown,
// never absent: every statement has the
// three states yes, no and unknown, so that many domains can be tabulated.
//
// Whoever does not send mail is measured by another yardstick: such a domain
// should say so (v=spf1 -all, v=DMARC1; p=reject, null MX), and owes nobody a
// DKIM key.
package posture

import (
	"context"
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"sekimori/dns"
	"sekimori/domain"
	"sekimori/explain"
)

// State is the answer to a yes-or-no question that may have none.
type State string

const (
	Yes     State = "yes"
	No      State = "no"
	Unknown State = "unknown" // a time-out or a failure hid it
)

func state(b bool) State {
	if b {
		return Yes
	}
	return No
}

// Level sums a topic up.
type Level string

const (
	LevelOK      Level = "ok"
	LevelAdvice  Level = "advice"  // works, and could be better
	LevelWarning Level = "warning" // works today, and may stop or be abused
	LevelError   Level = "error"   // does not work, or works against its owner
	LevelUnknown Level = "unknown" // not enough answers to tell
	LevelAbsent  Level = "absent"  // not published, and that does little harm
)

// Name is a topic's name, as it stands in JSON.
type Name string

const (
	TopicDomain Name = "domain"
	TopicSPF    Name = "spf"
	TopicDMARC  Name = "dmarc"
	TopicDKIM   Name = "dkim"
	TopicMX     Name = "mx"
	TopicMTASTS Name = "mta_sts"
	TopicTLSRPT Name = "tls_rpt"
	TopicBIMI   Name = "bimi"
	TopicDNSSEC Name = "dnssec"
	TopicDANE   Name = "dane"

	TopicSTARTTLS Name = "starttls"
	TopicRPKI     Name = "rpki"
)

// Topics lists the topics that every inspection looks at, in the order in
// which people read them. A finding of TopicDomain is about none of them.
var Topics = [...]Name{TopicSPF, TopicDMARC, TopicDKIM, TopicMX, TopicMTASTS, TopicTLSRPT, TopicBIMI, TopicDNSSEC, TopicDANE}

// Extra lists the topics that are looked at where Options say so, in the order
// in which people read them, after the others.
var Extra = [...]Name{TopicSTARTTLS, TopicRPKI}

// Topic is what every topic has in common. Valid is yes only where something
// is present and of use to those who read it; what is absent is not valid.
type Topic struct {
	Level   Level `json:"level"`
	Present State `json:"present"`
	Valid   State `json:"valid"`
}

// Finding is a finding and the topic that it belongs to.
type Finding struct {
	Topic Name `json:"topic"`
	// Name is where the record stands that the finding is about; empty where
	// that is the topic's own place.
	Name string `json:"name,omitempty"`
	explain.Finding
}

// Verdict is the answer in one sentence.
type Verdict struct {
	Level Level `json:"level"`
	// Protected tells whether mail in the name of the domain that fails DMARC
	// is to be refused or set aside where receivers check: a record in force
	// with quarantine or reject, outside a test.
	Protected State `json:"protected"`
	explain.Step
}

// Posture is what was found. Its JSON form is an interface that others build
// on: names stay, and lists are never null.
type Posture struct {
	Domain    domain.Name `json:"domain"`
	Unicode   string      `json:"unicode,omitempty"` // in U-labels, where that differs
	CheckedAt *time.Time  `json:"checked_at,omitempty"`
	// Exists is "no" where the DNS says that there is no such name.
	Exists State `json:"exists"`
	// SendsMail is "no" where the domain says, or leaves no doubt, that it
	// sends no mail.
	SendsMail       State  `json:"sends_mail"`
	SendsMailReason Reason `json:"sends_mail_reason"`

	Verdict Verdict `json:"verdict"`

	SPF    SPF    `json:"spf"`
	DMARC  DMARC  `json:"dmarc"`
	DKIM   DKIM   `json:"dkim"`
	MX     MX     `json:"mx"`
	MTASTS MTASTS `json:"mta_sts"`
	TLSRPT TLSRPT `json:"tls_rpt"`
	BIMI   BIMI   `json:"bimi"`
	DNSSEC DNSSEC `json:"dnssec"`
	DANE   DANE   `json:"dane"`

	// Findings are sorted: the worst first, equals in the order of Topics.
	Findings []Finding `json:"findings"`
	// Questions counts the different questions put to the Resolver.
	Questions int `json:"questions"`

	// STARTTLS and RPKI are nil where Options do not ask for them.
	STARTTLS *STARTTLS `json:"starttls,omitempty"`
	RPKI     *RPKI     `json:"rpki,omitempty"`
}

// Looked lists the topics that were looked at: Topics, and those of Extra that
// Options asked for.
func (p *Posture) Looked() []Name {
	out := Topics[:]
	for _, n := range Extra {
		if p.topic(n) != nil {
			out = append(out[:len(out):len(out)], n)
		}
	}
	return out
}

// Topic returns what all topics have in common of the one named; the zero
// Topic for another name.
func (p *Posture) Topic(n Name) Topic {
	if t := p.topic(n); t != nil {
		return *t
	}
	return Topic{}
}

func (p *Posture) topic(n Name) *Topic {
	switch n {
	case TopicSPF:
		return &p.SPF.Topic
	case TopicDMARC:
		return &p.DMARC.Topic
	case TopicDKIM:
		return &p.DKIM.Topic
	case TopicMX:
		return &p.MX.Topic
	case TopicMTASTS:
		return &p.MTASTS.Topic
	case TopicTLSRPT:
		return &p.TLSRPT.Topic
	case TopicBIMI:
		return &p.BIMI.Topic
	case TopicDNSSEC:
		return &p.DNSSEC.Topic
	case TopicDANE:
		return &p.DANE.Topic
	case TopicSTARTTLS:
		if p.STARTTLS != nil {
			return &p.STARTTLS.Topic
		}
	case TopicRPKI:
		if p.RPKI != nil {
			return &p.RPKI.Topic
		}
	}
	return nil
}

// Unanswered reports whether the DNS hid everything that matters, so that the
// same question may be put again later.
func (p *Posture) Unanswered() bool {
	return p.Exists == Unknown && p.SPF.Present == Unknown && p.DMARC.Present == Unknown && p.MX.Present == Unknown
}

// Count counts the findings of a grade.
func (p *Posture) Count(g explain.Grade) int {
	n := 0
	for _, f := range p.Findings {
		if f.Grade == g {
			n++
		}
	}
	return n
}

// Options tune Inspect. The zero value is thorough.
type Options struct {
	// Selectors are DKIM selectors known to be in use. They are asked before
	// the well-known ones; the first MaxSelectors count.
	Selectors []string
	// Frugal asks fewer questions, for surveys of many domains: no well-known
	// selector where _domainkey does not exist (RFC 8020 §2), elsewhere 12 of
	// them at most and no more once a key was found; and no TLSA records below
	// an MX record set that is not secure.
	Frugal bool
	// Timeout is for one domain, all its questions together; 0 means 30 s.
	// What is not answered by then is unknown.
	Timeout time.Duration
	// Now is the clock of CheckedAt; nil leaves it out.
	Now func() time.Time
	// Fetch gets MTA-STS policies, BIMI logos and certificates; nil leaves
	// them unknown. At most three fetches a domain; the DNS questions of a
	// Fetcher's own are not counted.
	Fetch Fetcher
	// BIMIRoots are the trusted issuers of mark certificates; nil leaves open
	// whether a certificate leads to one.
	BIMIRoots *x509.CertPool
	// SMTP sees whether the MX hosts encrypt; nil leaves the topic out. One
	// connection for each of MaxHosts hosts at most.
	SMTP Mailer
	// Routes tells who announces the networks of MX hosts and name servers; nil
	// leaves the topic out, and the questions for it.
	Routes Routes
}

// DefaultTimeout is how long one domain may take unless Options say otherwise.
const DefaultTimeout = 30 * time.Second

// inspection is an Inspect on its way. Each topic is filled in by one
// goroutine, which writes to its own part of the Posture and its own list.
type inspection struct {
	Posture
	o        Options
	a        *asker
	name     domain.Name
	findings map[Name]*[]Finding
	// The name servers, and whether they are known.
	servers []server
	nsKnown State
}

func (in *inspection) find(t Name, fs ...explain.Finding) { in.findAt(t, "", fs...) }

func (in *inspection) findAt(t Name, name string, fs ...explain.Finding) {
	list := in.findings[t]
	for _, f := range fs {
		if len(*list) < maxFindings {
			*list = append(*list, Finding{t, name, f})
		}
	}
}

// Inspect looks at a domain. It asks at most MaxQuestions different questions,
// of which at most a few dozen are on the way at a time, and returns when all
// are answered or the time is over. A failed Resolver, or a ctx that ended,
// leaves states unknown; there is no other error. The zero Name exists as
// little as any other name that the DNS denies.
func Inspect(ctx context.Context, r dns.Resolver, name domain.Name, o Options) Posture {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	in := &inspection{o: o, a: newAsker(ctx, r), name: name, findings: map[Name]*[]Finding{TopicDomain: new([]Finding)}}
	for _, t := range slices.Concat(Topics[:], Extra[:]) {
		in.findings[t] = new([]Finding)
	}
	in.Domain = name
	if u := name.Unicode(); u != name.String() {
		in.Unicode = u
	}
	if o.Now != nil {
		t := o.Now().UTC().Truncate(time.Second)
		in.CheckedAt = &t
	}
	first := in.first(ctx)
	in.Exists = first.exists
	tasks := []func(){func() {
		in.inspectDMARC(ctx)
		if first.exists != No {
			in.inspectBIMI(ctx)
		}
	}}
	switch {
	case first.exists == Unknown && o.Frugal && first.mx.Security != dns.Bogus && first.txt.Security != dns.Bogus:
		// Its name servers do not answer: whatever else is asked of them would
		// wait for as long. A later attempt may know; DMARC may be inherited.
		tasks = []func(){func() { in.inspectDMARC(ctx) }}
		in.blank(Unknown)
	case first.exists != No:
		tasks = append(tasks,
			func() { in.inspectSPF(ctx) },
			func() { in.inspectDKIM(ctx) },
			func() {
				in.inspectMX(ctx, first)
				in.inspectDNSSEC(ctx, first)
				in.inspectDANE(ctx, first)
				if in.o.SMTP != nil {
					in.inspectSTARTTLS(ctx, first)
				}
			},
			func() { in.inspectMTASTS(ctx) },
			func() { in.inspectTLSRPT(ctx) },
		)
		if o.Routes != nil {
			tasks = append(tasks, func() { in.nameServers(ctx) })
		}
	default:
		in.blank(No)
	}
	together(tasks)
	if o.Routes != nil && in.RPKI == nil {
		in.inspectRPKI()
	}
	in.judge()
	in.Questions = in.a.count()
	return in.Posture
}

// first asks what the rest depends on: whether the name exists, and its MX
// records.
type first struct {
	exists State
	mx     dns.Answer
	mxErr  error
	txt    dns.Answer
	txtErr error
}

func (in *inspection) first(ctx context.Context) first {
	var f first
	b := in.a.budget(budgetFirst)
	together([]func(){
		func() { f.mx, f.mxErr = b.Lookup(ctx, in.name.String(), dns.MX) },
		func() { f.txt, f.txtErr = b.Lookup(ctx, in.name.String(), dns.TXT) },
	})
	f.exists = Unknown
	switch {
	case answered(f.mx, f.mxErr) || answered(f.txt, f.txtErr):
		f.exists = Yes
	case denied(f.mx, f.mxErr) || denied(f.txt, f.txtErr):
		f.exists = No // RFC 8020 §2: NXDOMAIN is for every type, and for all names below
	}
	return f
}

// blank fills in the topics that are not asked about: with No for a name that
// does not exist, whose DMARC policy may be inherited, and with Unknown for one
// that nothing can be learnt of.
func (in *inspection) blank(s State) {
	for _, t := range Topics {
		if t != TopicDMARC {
			*in.topic(t) = Topic{Present: s, Valid: s}
		}
	}
	in.SPF.init()
	in.DKIM.init()
	in.MX.init()
	in.MTASTS.init()
	in.TLSRPT.init()
	in.BIMI.init()
	in.DANE.init()
	in.DKIM.Domainkey, in.DKIM.Wildcard = s, s
	in.MX.Null, in.MX.Implicit = s, s
	in.MTASTS.PolicyHost = s
	if in.o.SMTP != nil {
		in.STARTTLS = newSTARTTLS(s)
	}
	if in.o.Routes != nil {
		in.RPKI = newRPKI(s)
	}
	in.awaitPolicy()
	in.awaitLogo()
	in.BIMI.Eligible = s
	in.DNSSEC.Status = StatusUnknown
	in.DNSSEC.Present, in.DNSSEC.Valid = Unknown, Unknown
}

// together runs tasks at the same time and waits for all.
func together(tasks []func()) {
	var wg sync.WaitGroup
	for _, t := range tasks[1:] {
		wg.Go(t)
	}
	tasks[0]()
	wg.Wait()
}
