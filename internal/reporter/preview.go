package reporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"

	"sekimori/dmarc"
	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/store/outbox"
	"sekimori/internal/store/verdict"
	"sekimori/report/aggregate"
)

// ErrNothing: no verdict is kept of that day, or of that domain.
var ErrNothing = errors.New("nothing is known")

// Planned is a report as it would be sent now, or as it was made.
type Planned struct {
	Day      string
	Policy   verdict.Policy
	ReportID string
	Form     aggregate.Form
	Filename string
	Subject  string
	Messages int64
	Rows     int64
	// Destinations are where it goes, or why not; none where the policy asks for
	// no reports.
	Destinations []Destination
	// Made says that the report was made already, and is what Write writes.
	Made bool

	options *Options
	totals  verdict.PolicyTotals
	record  *dmarc.Record
	file    string // where it was made
}

// Plan returns what would be reported about a policy domain for a day, the
// report with most messages first: a domain that changed its policy in the day
// gets several. A name below the policy domain finds it as well. ErrNothing
// says that there is none.
func (r *Reporter) Plan(ctx context.Context, name domain.Name, day string) ([]Planned, error) {
	o := r.o.Load()
	if _, _, err := period(day); err != nil {
		return nil, err
	}
	all, err := o.Days.Policies(ctx, day)
	if errors.Is(err, verdict.ErrUnknown) {
		return nil, ErrNothing
	}
	if err != nil {
		return nil, err
	}
	sent, err := outbox.Read(o.Dir)
	if err != nil {
		return nil, err
	}
	defer sent.Close()
	box, err := sent.Box()
	if err != nil {
		return nil, err
	}
	var out []Planned
	for _, p := range nearest(all, name) {
		one, err := o.plan(ctx, box, day, p)
		if err != nil {
			return nil, err
		}
		i := len(out)
		for i > 0 && out[i-1].Messages < one.Messages {
			i--
		}
		out = append(out[:i], append([]Planned{one}, out[i:]...)...)
	}
	if len(out) == 0 {
		return nil, ErrNothing
	}
	return out, nil
}

// nearest returns the policies found at a name, else those at the closest name
// above it that has any.
func nearest(all []verdict.PolicyTotals, name domain.Name) []verdict.PolicyTotals {
	for ; !name.IsZero(); name = name.Parent() {
		var out []verdict.PolicyTotals
		for _, p := range all {
			if p.Policy.Domain == name.String() {
				out = append(out, p)
			}
		}
		if out != nil {
			return out
		}
	}
	return nil
}

func (o *Options) plan(ctx context.Context, box *outbox.Box, day string, p verdict.PolicyTotals) (Planned, error) {
	out := Planned{Day: day, Policy: p.Policy, Form: o.Form, Messages: p.Messages, Rows: p.Rows, options: o, totals: p}
	name, err := domain.Parse(p.Policy.Domain)
	if err != nil {
		return out, fmt.Errorf("policy domain %q: %w", p.Policy.Domain, err)
	}
	if out.record, err = dmarc.Parse(p.Policy.Text); err != nil {
		return out, fmt.Errorf("policy of %s: %w", p.Policy.Domain, err)
	}
	head, err := o.head(day, p.Policy, out.record)
	if err != nil {
		return out, err
	}
	out.ReportID, out.Filename = head.Metadata.ReportID, aggregate.Filename(head)
	sent := map[string]int{}
	if box != nil {
		made, there, err := box.Report(ctx, day, policyKey(p.Policy))
		if err != nil {
			return out, err
		}
		if there {
			out.Made = true
			out.ReportID, out.Filename, out.Form = made.ReportID, made.Filename, aggregate.Form(made.Form)
			if made.File != "" {
				out.file = box.Path(made.File)
			}
		}
	}
	from := o
	if out.file != "" {
		// Whoever asks may know less than whoever made it.
		if from, err = maker(out.file); err != nil {
			return out, err
		}
	}
	out.Subject = strings.Join(from.subject(p.Policy.Domain, out.ReportID), " ")
	out.Destinations = o.destinations(ctx, name, out.record)
	for i := range out.Destinations {
		d := &out.Destinations[i]
		if box == nil || !d.Allowed || out.Made {
			continue
		}
		n, err := box.ToHost(ctx, day, d.Host)
		if err != nil {
			return out, err
		}
		if n+sent[d.Host] >= o.PerDestination {
			d.Allowed, d.Reason = false, o.tooMany(d.Host)
		}
		sent[d.Host]++
	}
	return out, nil
}

func (o *Options) tooMany(host string) explain.Step {
	return explain.Step{Code: "reporter.too-many-for-host", Args: explain.Args{"host": host, "limit": int64(o.PerDestination)}}
}

// maker says in whose name a frozen report was made.
func maker(file string) (*Options, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r := aggregate.NewReader(zip, aggregate.Limits{})
	var rec aggregate.Record
	if err := r.Next(&rec); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	head, _ := r.Report()
	return &Options{Organization: head.Metadata.OrgName, Email: head.Metadata.Email}, nil
}

// Write writes the report's XML. Memory does not grow with it.
func (p *Planned) Write(ctx context.Context, w io.Writer) error {
	if p.file != "" {
		f, err := os.Open(p.file)
		if err != nil {
			return err
		}
		defer f.Close()
		zip, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
		_, err = io.Copy(w, zip)
		return err
	}
	_, _, err := p.options.writeReport(ctx, w, p.Day, p.totals, p.record)
	return err
}

// Preview writes the report about a policy domain as it would be sent for a
// day now; of several, that with most messages.
func (r *Reporter) Preview(ctx context.Context, name domain.Name, day string, w io.Writer) error {
	all, err := r.Plan(ctx, name, day)
	if err != nil {
		return err
	}
	return all[0].Write(ctx, w)
}
