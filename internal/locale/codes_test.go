package locale

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rooms are the packages that explain themselves in codes that begin with
// their own name, and the folders that their sources are in.
var rooms = map[string]string{
	"spf": "spf", "dkim": "dkim", "arc": "arc", "dmarc": "dmarc", "authres": "authres",
	"mtasts": "mtasts", "tlsrpt": "tlsrpt", "bimi": "bimi", "dane": "dane", "smime": "smime",
	"surveymail": "internal/survey", "check": "internal/check", "posture": "internal/posture",
	"benchmilter": "internal/cli", "survey": "internal/survey", "publish": "internal/publish", "gate": "internal/web/gate", "gateway": "internal/gateway",
	"departure": "internal/gateway", "reporter": "internal/reporter", "failure": "internal/reporter",
	"webgateway": "internal/web", "letter": "internal/publish", "monthly": "internal/publish", "workverb": "internal/cli", "webwork": "internal/web", "watch": "internal/watch", "inventory": "internal/inventory", "repair": "internal/repair",
	"ask": "internal/advise", "why": "internal/advise",
}

// TestRooms checks that every code that stands in a room's sources has its
// sentences, and that no sentence of the room is left over. A code may also be
// reached as a finding's ".why", as the value of a {name@group}, or as a kind
// put behind a prefix that ends in a dot.
func TestRooms(t *testing.T) {
	groups := map[string]bool{}
	for _, s := range load()[English] {
		for _, p := range s {
			if p.group != "" {
				groups[p.group] = true
			}
		}
	}
	for room, dir := range rooms {
		said := map[string]bool{}
		quoted := regexp.MustCompile(`"(` + room + `\.[a-z0-9][a-z0-9.-]*)"`)
		var paths []string
		for _, dir := range strings.Fields(dir) {
			sources, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(dir), "*.go"))
			if err != nil {
				t.Fatal(err)
			}
			templates, _ := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(dir), "templates", "*.html"))
			paths = append(append(paths, sources...), templates...)
		}
		for _, p := range paths {
			if strings.HasSuffix(p, "_test.go") {
				continue
			}
			src, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range quoted.FindAllStringSubmatch(string(src), -1) {
				said[m[1]] = true
			}
		}
		if len(said) == 0 {
			t.Errorf("%s: no code found in %s: the test looks in the wrong place", room, dir)
		}
		prefixes := []string{}
		for code := range said {
			if strings.HasSuffix(code, ".") {
				prefixes = append(prefixes, code) // "room.group." + kind
				continue
			}
			if !Japanese.Has(code) || !English.Has(code) {
				t.Errorf("%s has no sentence", code)
			}
		}
		for _, code := range Japanese.Codes() {
			if !strings.HasPrefix(code, room+".") || said[code] || said[strings.TrimSuffix(code, ".why")] ||
				slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(code, p) }) {
				continue
			}
			if i := strings.LastIndexByte(code, '.'); !groups[code[:i]] {
				t.Errorf("nothing says %s", code)
			}
		}
	}
}
