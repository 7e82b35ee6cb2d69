package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Bars of the queries part.
const (
	queryBar     = 250.0 // ms, p95, while an import is running
	firstPageBar = 300.0 // ms
	samples      = 40    // of each query
)

// queries fills a store with b.rows rows, serves it, and asks everything that
// the pages show: first with nothing else to do, then while an import is
// running. The answers come over HTTP as a browser gets them.
func (b *bench) queries(ctx context.Context) error {
	part := fmt.Sprintf("%s stored rows", human(float64(b.rows)))
	dir, err := b.fill(ctx, part)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := b.serve(dir)
	if err != nil {
		return err
	}
	defer s.stop()
	began := time.Now()
	if err := s.settled(ctx); err != nil {
		return err
	}
	b.add(part, "first answers about all domains worked out in", "s", []float64{time.Since(began).Seconds()}, "in the background")
	asks, err := s.asks(ctx)
	if err != nil {
		return err
	}

	idle, err := s.measure(ctx, asks, nil)
	if err != nil {
		return err
	}
	load, stopped, err := b.load(ctx, dir)
	if err != nil {
		return err
	}
	busy, err := s.measure(ctx, asks, stopped)
	if err := errors.Join(err, load()); err != nil {
		return err
	}

	worst := ""
	var most float64
	for _, q := range asks {
		i, l := idle[q.name], busy[q.name]
		b.add(part, q.name, "ms p95", []float64{percentile(i, 95)}, fmt.Sprintf("median %s; while importing: p95 %s, median %s, n %d",
			human(median(i)), human(percentile(l, 95)), human(median(l)), len(l)))
		if p := percentile(l, 95); p > most {
			most, worst = p, q.name
		}
	}
	b.atMost("slowest query while importing: "+worst, most, queryBar, "ms p95")
	b.atMost("the first page", percentile(idle[asks[0].name], 95), firstPageBar, "ms p95")
	b.add(part, "peak memory of serve", "MiB", []float64{memoryOf(s.cmd.Process.Pid, "VmHWM:")}, "")
	return nil
}

// fill returns a new data folder with the rows.
func (b *bench) fill(ctx context.Context, part string) (string, error) {
	src, err := b.once(fmt.Sprintf("world-%d", b.rows), func(path string) error { return world(path, b.rows, 0, worldDays, "w") })
	if err != nil {
		return "", err
	}
	dir, err := b.data("queries")
	if err != nil {
		return "", err
	}
	u, err := timed(ctx, exec.Command(b.program, "import", "--json", "--data", dir, src))
	if err != nil {
		return "", err
	}
	var got imported
	if err := json.Unmarshal(u.out, &got); err != nil {
		return "", err
	}
	if len(got.Rejected) > 0 || float64(got.Rows) < 0.95*float64(b.rows) {
		return "", fmt.Errorf("imported %+v", got)
	}
	b.add(part, "imported in", "s", []float64{u.wall}, fmt.Sprintf("%s reports, %s rows, %s rows/s, peak %s MiB",
		human(float64(got.Reports)), human(float64(got.Rows)), human(float64(got.Rows)/u.wall), human(u.peak)))
	if size, err := sizeOf(dir, "reports.duckdb"); err == nil {
		b.add(part, "size of the rows on disk", "MiB", []float64{float64(size) / (1 << 20)}, "")
	}
	return dir, nil
}

func sizeOf(dir, name string) (int64, error) {
	st, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// served is a running "sekimori serve".
type served struct {
	cmd  *exec.Cmd
	url  string
	http *http.Client
	log  *head
}

func (b *bench) serve(dir string) (*served, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	ln.Close()
	zone := b.path("zone") // no names: nothing is asked of the network
	if err := os.WriteFile(zone, []byte("$TTL 3600\nlocalhost. IN A 127.0.0.1\n"), 0o644); err != nil {
		return nil, err
	}
	s := &served{cmd: exec.Command(b.program, "serve", "--data", dir, "--listen", addr, "--zone", zone), url: "http://" + addr,
		http: &http.Client{Timeout: time.Minute}, log: &head{most: 64 << 10}}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 600 {
		if resp, err := s.http.Get(s.url + "/healthz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("serve does not answer: %s", s.log)
}

func (s *served) stop() { _ = terminate(s.cmd, 30*time.Second) }

// get fetches a path and returns the time to the last byte.
func (s *served) get(ctx context.Context, path string, into any) (time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Accept-Language", "ja")
	began := time.Now()
	resp, err := s.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %.300s", path, resp.Status, body)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(body, into)
	}
	return took, err
}

// settled waits until the answers about all domains are worked out.
func (s *served) settled(ctx context.Context) error {
	deadline := time.Now().Add(10 * time.Minute)
	for {
		var list struct {
			Domains []struct{ Pending, Stale bool }
		}
		if _, err := s.get(ctx, "/api/v1/domains", &list); err != nil {
			return err
		}
		open := 0
		for _, d := range list.Domains {
			if d.Pending || d.Stale {
				open++
			}
		}
		if open == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d domains have no answer after ten minutes: %.2000s", open, len(list.Domains), s.log)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// ask is one query: a page or an operation of the API.
type ask struct{ name, path string }

// asks lists what the pages show, about the largest domain, one in the middle
// of the list, and a report. The first is the first page.
func (s *served) asks(ctx context.Context) ([]ask, error) {
	const largest, middle = "d0.example", "d40.example"
	var sources struct{ Sources []struct{ ID string } }
	if _, err := s.get(ctx, "/api/v1/domains/"+largest+"/sources?limit=1", &sources); err != nil {
		return nil, err
	}
	var reports struct{ Reports []struct{ Seq int64 } }
	if _, err := s.get(ctx, "/api/v1/reports?limit=1&domain="+largest+"&sort=rows&desc=true", &reports); err != nil {
		return nil, err
	}
	if len(sources.Sources) == 0 || len(reports.Reports) == 0 {
		return nil, errors.New("the largest domain has no sources or no reports")
	}
	source, seq := url.PathEscape(sources.Sources[0].ID), reports.Reports[0].Seq
	api := "/api/v1/domains/" + largest
	return []ask{
		{"page of all domains", "/"},
		{"page of the largest domain", "/domain/" + largest},
		{"page of a middling domain", "/domain/" + middle},
		{"page of the largest source", "/domain/" + largest + "/source/" + source},
		{"page of reports", "/reports"},
		{"page of reports of the largest domain", "/reports?domain=" + largest},
		{"page of a report", fmt.Sprintf("/reports/%d", seq)},
		{"page of the quarantine", "/quarantine"},
		{"API: all domains", "/api/v1/domains"},
		{"API: advice", api + "/advice"},
		{"API: advice, 7 days", api + "/advice?days=7"},
		{"API: days", api + "/daily"},
		{"API: policies", api + "/policies"},
		{"API: sources, sorted and searched", api + "/sources?sort=failing&desc=true&search=example"},
		{"API: a source", api + "/sources/" + source},
		{"API: addresses of a source", api + "/sources/" + source + "/addresses"},
		{"API: addresses, last page", api + "/sources/" + source + "/addresses?sort=last_day&offset=50000&limit=50"},
		{"API: reports, searched", "/api/v1/reports?search=receiver3"},
		{"API: records of a report", fmt.Sprintf("/api/v1/reports/%d/records", seq)},
	}, nil
}

// measure asks every query several times, in turn, and returns the
// milliseconds. With until it goes on as long as that is open, and the last
// turn ends when it closes.
func (s *served) measure(ctx context.Context, asks []ask, until <-chan struct{}) (map[string][]float64, error) {
	took := map[string][]float64{}
	if until == nil {
		for _, q := range asks { // each once before, as somebody has been there
			if _, err := s.get(ctx, q.path, nil); err != nil {
				return nil, err
			}
		}
	}
	for n := 0; n < samples || until != nil; n++ {
		for _, q := range asks {
			select {
			case <-until:
				if n < 5 {
					return nil, fmt.Errorf("the import ended after %d turns of queries: too few to say anything", n)
				}
				return took, nil
			default:
			}
			d, err := s.get(ctx, q.path, nil)
			if err != nil {
				return nil, err
			}
			took[q.name] = append(took[q.name], float64(d.Microseconds())/1000)
		}
		if n == 3*samples {
			break
		}
	}
	return took, nil
}

// load starts an import of two fifths as many rows again into the served folder.
// The channel closes when it has ended; wait waits for that, or ends it where
// it is not needed any more.
func (b *bench) load(ctx context.Context, dir string) (wait func() error, ended <-chan struct{}, err error) {
	src, err := b.once(fmt.Sprintf("more-%d", b.rows), func(path string) error { return world(path, max(b.rows*2/5, 1_000_000), worldDays, 12, "x") })
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(b.program, "import", "--json", "--data", dir, src)
	closed := make(chan struct{})
	result := make(chan error, 1)
	stop, cancel := context.WithCancel(ctx)
	go func() {
		u, err := timed(stop, cmd)
		if err == nil {
			fmt.Printf("the import beside the queries took %.1f s\n", u.wall)
		} else if stop.Err() != nil {
			err = nil // no longer needed
		}
		result <- err
		close(closed)
	}()
	return func() error {
		cancel()
		return <-result
	}, closed, nil
}
