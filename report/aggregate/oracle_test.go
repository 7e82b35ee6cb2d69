package aggregate

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math/rand"
	"net/netip"
	"reflect"
	"testing"
	"testing/iotest"
	"time"
)

// oracle is a report as encoding/xml reads it.
type oracle struct {
	Version  string `xml:"version"`
	Metadata struct {
		OrgName   string   `xml:"org_name"`
		Email     string   `xml:"email"`
		Contact   string   `xml:"extra_contact_info"`
		ReportID  string   `xml:"report_id"`
		Begin     int64    `xml:"date_range>begin"`
		End       int64    `xml:"date_range>end"`
		Errors    []string `xml:"error"`
		Generator string   `xml:"generator"`
	} `xml:"report_metadata"`
	Policy struct {
		Domain    string `xml:"domain"`
		ADKIM     string `xml:"adkim"`
		ASPF      string `xml:"aspf"`
		P         string `xml:"p"`
		SP        string `xml:"sp"`
		NP        string `xml:"np"`
		PCT       string `xml:"pct"`
		FO        string `xml:"fo"`
		Testing   string `xml:"testing"`
		Discovery string `xml:"discovery_method"`
	} `xml:"policy_published"`
	Records []struct {
		SourceIP    string `xml:"row>source_ip"`
		Count       uint64 `xml:"row>count"`
		Disposition string `xml:"row>policy_evaluated>disposition"`
		DKIM        string `xml:"row>policy_evaluated>dkim"`
		SPF         string `xml:"row>policy_evaluated>spf"`
		Reasons     []struct {
			Type    string `xml:"type"`
			Comment string `xml:"comment"`
		} `xml:"row>policy_evaluated>reason"`
		HeaderFrom   string `xml:"identifiers>header_from"`
		EnvelopeFrom string `xml:"identifiers>envelope_from"`
		EnvelopeTo   string `xml:"identifiers>envelope_to"`
		DKIMResults  []struct {
			Domain   string `xml:"domain"`
			Selector string `xml:"selector"`
			Result   string `xml:"result"`
			Human    string `xml:"human_result"`
		} `xml:"auth_results>dkim"`
		SPFResults []struct {
			Domain string `xml:"domain"`
			Scope  string `xml:"scope"`
			Result string `xml:"result"`
			Human  string `xml:"human_result"`
		} `xml:"auth_results>spf"`
	} `xml:"record"`
}

// read turns what encoding/xml read into our types.
func (o *oracle) read(b []byte) (rep Report, records []Record, err error) {
	if err := xml.Unmarshal(b, o); err != nil {
		return rep, nil, err
	}
	m, p := o.Metadata, o.Policy
	rep.Version = o.Version
	rep.Metadata = Metadata{m.OrgName, m.Email, m.Contact, m.ReportID, time.Unix(m.Begin, 0).UTC(), time.Unix(m.End, 0).UTC(), m.Errors, m.Generator}
	rep.PolicyPublished = PolicyPublished{p.Domain, p.ADKIM, p.ASPF, p.P, p.SP, p.NP, p.PCT, p.FO, p.Testing, p.Discovery}
	for _, r := range o.Records {
		rec := Record{
			Count: r.Count, Disposition: Disposition(r.Disposition), DKIM: r.DKIM == "pass", SPF: r.SPF == "pass",
			HeaderFrom: r.HeaderFrom, EnvelopeFrom: r.EnvelopeFrom, EnvelopeTo: r.EnvelopeTo,
		}
		if rec.SourceIP, err = netip.ParseAddr(r.SourceIP); err != nil {
			return rep, nil, err
		}
		for _, v := range r.Reasons {
			rec.Reasons = append(rec.Reasons, Reason{v.Type, v.Comment})
		}
		for _, v := range r.DKIMResults {
			rec.DKIMResults = append(rec.DKIMResults, DKIMResult{v.Domain, v.Selector, v.Result, v.Human})
		}
		for _, v := range r.SPFResults {
			rec.SPFResults = append(rec.SPFResults, SPFResult{v.Domain, v.Scope, v.Result, v.Human})
		}
		records = append(records, rec)
	}
	return rep, records, nil
}

// TestOracle reads well-formed reports both with encoding/xml and with Reader.
func TestOracle(t *testing.T) {
	var docs [][]byte
	for _, form := range []Form{RFC9990, RFC7489} {
		r := rand.New(rand.NewSource(3))
		for range 500 {
			rep, records := random(r, form)
			b, err := write(form, rep, records)
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, b)
		}
	}
	var big bytes.Buffer
	generate(&big, 3000)
	docs = append(docs, []byte(whole), []byte(modern), big.Bytes())
	for _, b := range docs {
		wantRep, wantRecords, err := new(oracle).read(b)
		if err != nil {
			t.Fatalf("encoding/xml: %v\n%s", err, b)
		}
		rep, records, err := read(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		wantRep.Form, rep.Deviations = rep.Form, nil
		if !reflect.DeepEqual(rep, wantRep) || !reflect.DeepEqual(records, wantRecords) {
			t.Fatalf("Reader:\n%+v\n%+v\nencoding/xml:\n%+v\n%+v\n%.2000s", rep, records, wantRep, wantRecords, b)
		}
	}
}

// disguise writes the same document in other words: attributes, white space,
// comments, instructions, CDATA sections and character references.
func disguise(r *rand.Rand, doc []byte) []byte {
	var b bytes.Buffer
	for i := 0; i < len(doc); {
		c := doc[i]
		switch {
		case c == '<' && doc[i+1] != '?':
			end := i + bytes.IndexByte(doc[i:], '>')
			tag := string(doc[i:end])
			between := doc[i-1] == ' ' || doc[i-1] == '\n'
			i = end + 1
			switch r.Intn(12) {
			case 0:
				tag += " \n"
			case 1:
				if tag[1] != '/' {
					tag += ` lang="a > 'b' &amp; &#10;" x:y = 'c"d'`
				}
			case 2:
				if between {
					tag = "<!-- <row> - > ]]> -->\t" + tag
				}
			case 3:
				if between {
					tag = "<?x <row> > ?>\r\n" + tag
				}
			}
			b.WriteString(tag)
			b.WriteByte('>')
		case c == '&' || c < ' ' || c >= 0x80 || c == '<':
			b.WriteByte(c)
			i++
			if c == '&' {
				for doc[i-1] != ';' {
					b.WriteByte(doc[i])
					i++
				}
			}
		default:
			i++
			// Text; what is between elements is left alone.
			if c == ' ' || c == '?' || c == ']' || b.Len() < 100 {
				b.WriteByte(c)
				break
			}
			switch r.Intn(40) {
			case 0:
				fmt.Fprintf(&b, "&#%d;", c)
			case 1:
				fmt.Fprintf(&b, "&#x%X;", c)
			case 2:
				fmt.Fprintf(&b, "<![CDATA[%c]]>", c)
			case 3:
				fmt.Fprintf(&b, "<!-- & < -->%c", c)
			case 4:
				fmt.Fprintf(&b, "%c<?y a?>", c)
			default:
				b.WriteByte(c)
			}
		}
	}
	return b.Bytes()
}

// TestDisguise: XML that says the same is read the same.
func TestDisguise(t *testing.T) {
	for _, form := range []Form{RFC9990, RFC7489} {
		r := rand.New(rand.NewSource(4))
		for range 500 {
			rep, records := random(r, form)
			plain, err := write(form, rep, records)
			if err != nil {
				t.Fatal(err)
			}
			b := disguise(r, plain)
			wantRep, wantRecords, err := new(oracle).read(b)
			if err != nil {
				t.Fatalf("encoding/xml: %v\n%s", err, b)
			}
			got, gotRecords, err := all(NewReader(iotest.HalfReader(bytes.NewReader(b)), Limits{}))
			if err != nil {
				t.Fatalf("%v\n%s", err, b)
			}
			for _, d := range got.Deviations {
				if d.Code != MissingElement { // random leaves domains empty
					t.Errorf("deviation %+v\n%s", d, b)
				}
			}
			wantRep.Form, got.Deviations = got.Form, nil
			if !reflect.DeepEqual(got, wantRep) || !reflect.DeepEqual(gotRecords, wantRecords) {
				t.Fatalf("Reader:\n%+v\n%+v\nencoding/xml:\n%+v\n%+v\n%s", got, gotRecords, wantRep, wantRecords, b)
			}
		}
	}
}
