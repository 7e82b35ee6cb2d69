//go:build unix

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// TestNewsletters surveys 72 messages, in three kinds of mailboxes and with
// others between them, and wants the tables of the truth, for what was recorded
// on arrival and for now.
func TestNewsletters(t *testing.T) {
	n := makeNewsletters(t)
	if len(n.messages) != 72 {
		t.Fatalf("%d messages", len(n.messages))
	}
	n.lay(t)
	data := filepath.Join(n.dir, "data")
	run := func(want int, args ...string) string {
		t.Helper()
		var out, complaints bytes.Buffer
		status := Run(t.Context(), Env{Args: append([]string{"survey"}, append(args, "--data", data)...), Out: &out, Err: &complaints, Dir: n.dir, Lang: locale.English})
		if status != want {
			t.Fatalf("%v: status %d\n%s%s", args, status, &out, &complaints)
		}
		return out.String()
	}
	run(StatusDone, "run", "list.csv", "--name", "2026-11", "--zone", "zone")
	said := run(StatusNegative, "mail", "newsletters.mbox", "maildir", "folder", "--zone", "zone", "--roots", "ca.pem", "--out", "report")
	for _, want := range []string{
		"76 messages read for the survey 2026-11: 74 new, 1 known already.",
		"73 messages belong to an organisation of the list, 2 to none.",
		"Could not be read and is not counted: 1 message\n",
		"What protects the 72 messages from organisations of the list, as the receiving\nserver recorded it:\n",
		"none    pass       pass  pass                 30  41.7%\n",
		"none    permerror  none  none                  1   1.4%\n",
		"Of the 75 messages with recorded results, 25 would get another result today:",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said:\n%s", want, said)
		}
	}
	for _, l := range strings.Split(said, "\n") {
		if len(l) > 80 {
			t.Errorf("a line of %d columns: %s", len(l), l)
		}
	}
	n.compare(t, filepath.Join(n.dir, "report", "summary.json"), "combinations", then)
	n.compare(t, filepath.Join(n.dir, "report", "summary.json"), "combinations_now", now)

	// Once more, the tables stay as they are.
	var again mailDocument
	if err := json.Unmarshal([]byte(run(StatusNegative, "mail", "newsletters.mbox", "maildir", "folder", "--zone", "zone", "--roots", "ca.pem", "--json")), &again); err != nil {
		t.Fatal(err)
	}
	if again.Fresh != 0 || again.Again != 75 || again.Rejected != 1 || again.Counted != 72 || !again.Listed || len(again.Rejects) != 1 || again.Rejects[0].Path != "folder/notes.pdf" {
		t.Errorf("again: %+v", again)
	}
	st, err := store.Open(t.Context(), data, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := st.Selectors(t.Context(), []string{"city1.example", "town1.example"})
	if cerr := st.Close(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	if got := keys["city1.example"]; !slices.Contains(got, "s1") || !slices.Contains(got, "s0") || len(keys["town1.example"]) != 0 {
		t.Errorf("selectors seen: %v", keys)
	}
	if got := tableOf(again.Combinations); !maps.Equal(got, truth(then)) {
		t.Errorf("recorded\n%v\nwant\n%v", got, truth(then))
	}
	if got := tableOf(again.CombinationsNow); !maps.Equal(got, truth(now)) {
		t.Errorf("now\n%v\nwant\n%v", got, truth(now))
	}
}

// TestMailWithoutList looks at messages first; the list comes later.
func TestMailWithoutList(t *testing.T) {
	n := makeNewsletters(t)
	n.lay(t)
	run := func(want int, args ...string) string {
		t.Helper()
		var out, complaints bytes.Buffer
		status := Run(t.Context(), Env{Args: append([]string{"survey"}, append(args, "--data", filepath.Join(n.dir, "data"))...), Out: &out, Err: &complaints, Dir: n.dir, Lang: locale.Japanese, Width: 400})
		if status != want {
			t.Fatalf("%v: status %d\n%s%s", args, status, &out, &complaints)
		}
		return out.String()
	}
	said := run(StatusDone, "mail", "newsletters.mbox", "--zone", "zone", "--roots", "ca.pem", "--name", "夏")
	if !strings.Contains(said, "この調査にはまだリストがないため") {
		t.Error(said)
	}
	run(StatusDone, "run", "list.csv", "--name", "夏", "--zone", "zone")
	said = run(StatusDone, "mail", "newsletters.mbox", "--zone", "zone", "--roots", "ca.pem", "--name", "夏")
	if !strings.Contains(said, "リストの組織のもの 40 通、リストにないもの 2 通") {
		t.Error(said)
	}
}

// lay puts the messages where the command finds them: 40 in a mailbox file
// together with two of strangers, 20 in a maildir with one that is in the
// mailbox as well, 12 in a folder with something that is no message.
func (n *newsletters) lay(t *testing.T) {
	t.Helper()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(n.dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"maildir/cur", "maildir/new", "maildir/tmp", "folder"} {
		if err := os.MkdirAll(filepath.Join(n.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	strangers := edition{then: protection{"none", "pass", "none", "none"}, receiver: "microsoft", host: "192.0.2.66"}
	box := append(slices.Clone(n.messages[:40]), n.message(t, strangers, "stranger.example", 100), n.message(t, strangers, "stranger.example", 101))
	writeMailbox(t, filepath.Join(n.dir, "newsletters.mbox"), box)
	for i, m := range n.messages[40:60] {
		write(fmt.Sprintf("maildir/new/%03d.x", i), m)
	}
	write("maildir/cur/999.x:2,S", append([]byte("X-UID: 17\r\n"), n.messages[5]...))
	for i, m := range n.messages[60:] {
		write(fmt.Sprintf("folder/%03d.eml", i), m)
	}
	write("folder/notes.pdf", []byte("%PDF-1.4\n"))
	write("zone", []byte(n.zone()))
	write("list.csv", []byte(listOfNewsletters))
}

func then(e edition) protection { return e.then }
func now(e edition) protection  { return e.now }

// truth is the table that has to come out.
func truth(basis func(edition) protection) map[protection]int64 {
	out := map[protection]int64{}
	for _, e := range editions {
		out[basis(e)] += int64(e.count)
	}
	return out
}

func tableOf(in []mailCombination) map[protection]int64 {
	out := map[protection]int64{}
	for _, c := range in {
		out[protection{c.SMIME, c.SPF, c.DKIM, c.DMARC}] += c.Count
	}
	return out
}

// compare holds the combinations of summary.json against the truth.
func (n *newsletters) compare(t *testing.T, path, field string, basis func(edition) protection) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var summary map[string]json.RawMessage
	var got []mailCombination
	if err := json.Unmarshal(b, &summary); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(summary[field], &got); err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	want := truth(basis)
	if !maps.Equal(tableOf(got), want) {
		t.Errorf("%s\n%v\nwant\n%v", field, tableOf(got), want)
	}
	for i, c := range got {
		if i > 0 && c.Count > got[i-1].Count {
			t.Errorf("%s: %d after %d", field, c.Count, got[i-1].Count)
		}
		if math.Abs(c.Share-float64(c.Count)/72) > 1e-12 {
			t.Errorf("%s: share %v of %d", field, c.Share, c.Count)
		}
	}
	if field == "combinations" {
		counts := make([]int64, len(got))
		for i, c := range got {
			counts[i] = c.Count
		}
		if !slices.Equal(counts, []int64{30, 21, 12, 6, 1, 1, 1}) {
			t.Errorf("counts %v", counts)
		}
	}
}
