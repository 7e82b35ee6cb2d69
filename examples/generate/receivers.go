package main

import (
	"bytes"
	"fmt"
	"time"

	"sekimori/report/aggregate"
)

// container is what a receiver wraps its reports in.
type container string

const (
	plainXML container = "xml"
	gzipped  container = "gz"
	zipped   container = "zip"
	mailGzip container = "eml"  // a message a report, gzip attached
	mailZip  container = "emlz" // a message a report, zip attached
	mailbox  container = "mbox" // all messages of the month in one file
)

// receiver is an organisation that reports, and its habits.
type receiver struct {
	org             string
	name            string // org_name as it writes it; "" = org
	email, contact  string
	share           float64 // of all messages
	form            aggregate.Form
	wrap            container
	zone            time.Duration // its midnight, east of UTC
	weekly          bool
	exclusiveEnd    bool // end is the next period's begin (most write a second less)
	selector        bool // names the DKIM selector, in the older form
	envelopeFrom    bool
	envelopeTo      bool
	knowsForwarders bool
	generator       string
	id              func(k reportKey, begin time.Time) string
	edit            func(xml []byte, k reportKey) []byte // its departures from the form
}

func (r *receiver) period() int {
	if r.weekly {
		return 7
	}
	return 1
}

// span returns the period that a report covers.
func (r *receiver) span(k reportKey) (begin, end time.Time) {
	n := r.period()
	begin = monthStart.AddDate(0, 0, k.period*n).Add(-r.zone)
	end = begin.AddDate(0, 0, min(n, monthDays-k.period*n))
	if !r.exclusiveEnd {
		end = end.Add(-time.Second)
	}
	return begin, end
}

const jst = 9 * time.Hour

// receivers report about the ministry. Their names are invented; their habits
// are not.
var receivers = []receiver{
	{org: "kensaku-mail.example", email: "noreply-dmarc-support@kensaku-mail.example", contact: "https://help.kensaku-mail.example/dmarc",
		share: 0.34, form: aggregate.RFC7489, wrap: zipped, envelopeFrom: true, selector: true, knowsForwarders: true, id: numeric},
	{org: "mado-online.example", name: "Mado Online", email: "dmarcreport@mado-online.example",
		share: 0.22, form: aggregate.RFC7489, wrap: gzipped, exclusiveEnd: true, selector: true, envelopeFrom: true, envelopeTo: true, id: hexadecimal,
		edit: func(x []byte, _ reportKey) []byte {
			return swap(x, "<feedback>", `<feedback xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">`)
		}},
	{org: "yodel-mail.example", name: "Yodel", email: "dmarchelp@yodel-mail.example", contact: "https://senders.yodel-mail.example",
		share: 0.10, form: aggregate.RFC7489, wrap: gzipped, exclusiveEnd: true, selector: true, id: dotted},
	{org: "hoshizora-net.example", name: "株式会社ほしぞらネット", email: "postmaster@hoshizora-net.example",
		share: 0.07, form: aggregate.RFC7489, wrap: mailbox, zone: jst, selector: true, envelopeFrom: true, id: angled},
	{org: "minato-isp.example", email: "dmarc-noreply@minato-isp.example",
		share: 0.06, form: aggregate.RFC7489, wrap: mailZip, zone: jst, envelopeFrom: true, knowsForwarders: true, id: dotted},
	{org: "sakurane.example", name: "Sakurane Hosting", email: "dmarc@sakurane.example", contact: "https://www.sakurane.example/contact",
		share: 0.05, form: aggregate.RFC7489, wrap: plainXML, zone: jst, envelopeFrom: true, selector: true, id: dotted},
	{org: "teigaku-mobile.example", email: "dmarc-report@teigaku-mobile.example",
		share: 0.05, form: aggregate.RFC9990, wrap: zipped, zone: jst, generator: "carrier-mail 7.2", id: dotted},
	{org: "nordpost.example", email: "noreply-dmarc@sicher.nordpost.example", contact: "https://postmaster.nordpost.example/dmarc",
		share: 0.03, form: aggregate.RFC9990, wrap: gzipped, envelopeFrom: true, knowsForwarders: true, generator: "nordpost-dmarc/4", id: hexadecimal},
	{org: "cloudgate.example", name: "CloudGate Email Security", email: "dmarc-reports@cloudgate.example",
		share: 0.03, form: aggregate.RFC9990, wrap: mailGzip, envelopeFrom: true, envelopeTo: true, knowsForwarders: true, generator: "cloudgate 2026.8", id: hexadecimal},
	{org: "u-kasumi.example", name: "University of Kasumi", email: "postmaster@u-kasumi.example",
		share: 0.02, form: aggregate.RFC7489, wrap: gzipped, zone: jst, weekly: true, envelopeFrom: true, selector: true, id: dotted},
	{org: "kigyou-gw.example", email: "dmarc@kigyou-gw.example",
		share: 0.02, form: aggregate.RFC7489, wrap: gzipped, envelopeFrom: true, id: dotted,
		edit: func(x []byte, k reportKey) []byte {
			x = swap(x, "<org_name>kigyou-gw.example</org_name>", "<org_name></org_name>")
			x = swap(x, "<result>pass</result>", "<result>Pass</result>")
			x = swap(x, "<result>fail</result>", "<result>hardfail</result>")
			if k.period%6 == 3 {
				x = bytes.Replace(x, []byte("<disposition>none</disposition>"), []byte("<disposition>None</disposition>"), 3)
			}
			return x
		}},
	{org: "pref-nagisa.example", name: "渚県情報基盤課", email: "mail-admin@pref-nagisa.example",
		share: 0.015, form: aggregate.RFC9990, wrap: plainXML, zone: jst, exclusiveEnd: true, id: dotted},
	{org: "ichou-shi.example", name: "Ichou City", email: "joho@ichou-shi.example",
		share: 0.01, form: aggregate.RFC7489, wrap: gzipped, zone: jst, envelopeFrom: true, id: dotted, edit: cityOffice},
}

// cityOffice is the work of a home-made script: each kind of slip on a few days.
func cityOffice(x []byte, k reportKey) []byte {
	switch k.period % 5 {
	case 0: // the address in angle brackets, unescaped
		return swap(x, "<email>joho@ichou-shi.example</email>", "<email>Joho <joho@ichou-shi.example></email>")
	case 1: // times with fractions
		x = swap(x, "</begin>", ".000</begin>")
		return swap(x, "</end>", ".250</end>")
	case 2: // a scope of the older drafts and an older result
		x = swap(x, "<scope>mfrom</scope>", "<scope>helo</scope>")
		return swap(x, "<result>temperror</result>", "<result>error</result>")
	case 3: // a row that lost its address, beside the good ones
		return bytes.Replace(x, []byte("</policy_published>"), []byte(`</policy_published>
  <record>
    <row>
      <count>1</count>
      <policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated>
    </row>
    <identifiers><header_from>kakuu.example</header_from></identifiers>
    <auth_results/>
  </record>`), 1)
	}
	return bytes.Replace(x, []byte("<feedback>"), []byte("<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" targetNamespace=\"http://dmarc.org/dmarc-xml/0.1\">\n<feedback>"), 1)
}

func swap(x []byte, from, to string) []byte {
	return bytes.ReplaceAll(x, []byte(from), []byte(to))
}

// The ways in which receivers number their reports.

func numeric(k reportKey, begin time.Time) string {
	return fmt.Sprintf("%d%08d", begin.Unix()*7+int64(len(k.policy)), hash(k)%1e8)
}

func hexadecimal(k reportKey, _ time.Time) string {
	return fmt.Sprintf("%016x%016x", hash(k), hash(k)*0x9e3779b97f4a7c15)
}

func dotted(k reportKey, begin time.Time) string {
	return fmt.Sprintf("%d.%d", begin.Unix(), hash(k)%1e6)
}

func angled(k reportKey, begin time.Time) string {
	return fmt.Sprintf("<%s.%d@hoshizora-net.example>", begin.Format("20060102"), hash(k)%1e6)
}

// hash is FNV-1a over the key.
func hash(k reportKey) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range []byte(fmt.Sprint(k.receiver, k.policy, k.period)) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
