package sector

import (
	"bytes"
	"testing"
)

// TestTowns counts what the published survey counted.
func TestTowns(t *testing.T) {
	towns := Towns()
	var senders, spf, dmarc, both, silent int
	names, domains := map[string]bool{}, map[string]bool{}
	for _, x := range towns {
		if names[x.Prefecture+x.Name] || x.Domain != "" && domains[x.Domain] {
			t.Errorf("%s %s %s is there twice", x.Prefecture, x.Name, x.Domain)
		}
		names[x.Prefecture+x.Name], domains[x.Domain] = true, true
		switch {
		case x.Silent:
			silent++
		case x.Domain != "":
			senders++
		}
		if x.SPF != "" {
			spf++
		}
		if x.DMARC != "" {
			dmarc++
		}
		if x.SPF != "" && x.DMARC != "" {
			both++
		}
	}
	if len(towns) != 1741 || senders != 1026 || spf != 923 || dmarc != 146 || both != 144 || silent != 21 {
		t.Errorf("%d towns, %d senders, %d SPF, %d DMARC, %d both, %d silent", len(towns), senders, spf, dmarc, both, silent)
	}
	var a, b bytes.Buffer
	if err := WriteZone(&a, towns); err != nil {
		t.Fatal(err)
	}
	if err := WriteZone(&b, Towns()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two runs give two zones")
	}
}
