package sources

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
	"gopkg.in/yaml.v3"

	"sekimori/domain"
)

// Limits of a catalogue's file.
const (
	maxCatalogue = 4 << 20 // octets
	maxSenders   = 20_000
	maxPatterns  = 200 // of one kind, of one sender
	maxText      = 200 // octets of a name
)

// ParseCatalogue reads a catalogue: a YAML file with the one key "senders", a
// list. The name stands in errors, each of which says the line. All that is
// wrong is told at once, up to twenty places.
//
//	senders:
//	  - id: haishin-plus            # lower-case letters, digits, "-"
//	    name: Haishin Plus
//	    name_ja: 配信プラス
//	    kind: delivery              # delivery saas isp hoster mailbox forwarder list security
//	    ptr: [haishin-plus.example] # and every name below
//	    spf: [haishin-plus.example]
//	    dkim: [haishin-plus.example]
//	    include: spf.haishin-plus.example
//	    selectors: [hp1, hp2]
//	    dkim_how: dkim-cname
//	    setup: [add-include, own-return-path]
//	    url: https://help.haishin-plus.example/dkim
//	    confirmed: site             # documentation dns-knowledge site
//
// id, name, kind and at least one pattern must be there; name_ja is name where it
// is not. It costs memory in proportion to the text.
func ParseCatalogue(name string, text []byte) (*Catalogue, error) {
	p := &catalogueParser{name: name, claimed: map[string]claim{}, ids: map[string]int{}}
	p.document(text)
	if len(p.problems) > 0 {
		return nil, errors.Join(p.problems...)
	}
	return newCatalogue(p.senders), nil
}

type catalogueParser struct {
	name     string
	senders  []Sender
	problems []error
	ids      map[string]int   // line
	claimed  map[string]claim // "ptr x.example" → who has it
}

type claim struct {
	id   string
	line int
}

const maxProblems = 20

func (p *catalogueParser) problem(line int, format string, args ...any) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, fmt.Errorf("%s:%d: %s", p.name, line, fmt.Sprintf(format, args...)))
	}
}

func (p *catalogueParser) document(text []byte) {
	if len(text) > maxCatalogue {
		p.problem(1, "larger than %d octets: this is no list of senders", maxCatalogue)
		return
	}
	if !utf8.Valid(text) {
		for i, line := range bytes.Split(text, []byte("\n")) {
			if !utf8.Valid(line) {
				p.problem(i+1, "this line is not in UTF-8: save the file in UTF-8, not in Shift_JIS or EUC-JP")
				return
			}
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := decodeYAML(d, &doc); {
	case errors.Is(err, io.EOF):
		return // nothing in it: nothing to add
	case err != nil:
		line := 1
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			fmt.Sscan(m[1], &line)
		}
		p.problem(line, "not YAML: %s", yamlLine.ReplaceAllString(err.Error(), ""))
		return
	}
	var second yaml.Node
	if err := decodeYAML(d, &second); !errors.Is(err, io.EOF) {
		p.problem(max(1, second.Line), "a second document begins here: a list of senders is one")
		return
	}
	if len(doc.Content) != 1 || doc.Content[0].Tag == "!!null" {
		return
	}
	p.mapping(doc.Content[0], "the file", map[string]func(*yaml.Node){"senders": p.list})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// decodeYAML reads a document. The library is known to have panicked on broken
// text; that is an error of the text.
func decodeYAML(d *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("yaml: %v", v)
		}
	}()
	return d.Decode(n)
}

// mapping calls what reads the value of each key. Keys that are not known, and
// keys that are there twice, are wrong.
func (p *catalogueParser) mapping(n *yaml.Node, what string, keys map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.problem(n.Line, "%s must be keys and values, such as \"name: ...\"", what)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		read, ok := keys[k.Value]
		if k.Kind != yaml.ScalarNode || !ok {
			p.problem(k.Line, "unknown key %q in %s; known here: %s", cut(k.Value), what, strings.Join(sortedKeys(keys), ", "))
			continue
		}
		if line, twice := seen[k.Value]; twice {
			p.problem(k.Line, "%q is there twice: it stands in line %d already", k.Value, line)
			continue
		}
		seen[k.Value] = k.Line
		read(v)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (p *catalogueParser) list(n *yaml.Node) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return
	case n.Kind != yaml.SequenceNode:
		p.problem(n.Line, "senders must be a list: each sender begins with \"- id: ...\"")
		return
	case len(n.Content) > maxSenders:
		p.problem(n.Line, "more than %d senders", maxSenders)
		return
	}
	for _, e := range n.Content {
		p.sender(e)
	}
}

var senderID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func (p *catalogueParser) sender(n *yaml.Node) {
	before := len(p.problems)
	s := Sender{By: BySite}
	var kind, how, confirmed string
	lines := map[string]int{}
	text := func(key string, to *string) func(*yaml.Node) {
		return func(v *yaml.Node) { lines[key] = v.Line; p.text(v, key, to) }
	}
	patterns := func(key string, to *[]string) func(*yaml.Node) {
		return func(v *yaml.Node) { lines[key] = v.Line; *to = p.patterns(v, key) }
	}
	words := func(key string, to *[]string) func(*yaml.Node) {
		return func(v *yaml.Node) { lines[key] = v.Line; *to = p.words(v, key) }
	}
	var setup []string
	p.mapping(n, "a sender", map[string]func(*yaml.Node){
		"id": text("id", &s.ID), "name": text("name", &s.Name), "name_ja": text("name_ja", &s.NameJA), "kind": text("kind", &kind),
		"ptr": patterns("ptr", &s.PTR), "spf": patterns("spf", &s.SPF), "dkim": patterns("dkim", &s.DKIM),
		"include": text("include", &s.Include), "selectors": words("selectors", &s.Selectors), "dkim_how": text("dkim_how", &how),
		"setup": words("setup", &setup), "url": text("url", &s.URL), "confirmed": text("confirmed", &confirmed),
	})
	at := func(key string) int {
		if l := lines[key]; l > 0 {
			return l
		}
		return n.Line
	}
	if len(p.problems) > before {
		return // what is missing may stand in what could not be read
	}
	if !senderID.MatchString(s.ID) {
		p.problem(at("id"), "id %q: want lower-case letters, digits and \"-\", at most 63", cut(s.ID))
	} else if line, twice := p.ids[s.ID]; twice {
		p.problem(at("id"), "id %q is there twice: line %d has it already", s.ID, line)
	} else {
		p.ids[s.ID] = at("id")
	}
	if s.Name == "" {
		p.problem(at("name"), "sender %q has no name", s.ID)
	}
	if s.NameJA == "" {
		s.NameJA = s.Name
	}
	if s.Kind = SenderKind(kind); !slices.Contains(senderKinds, s.Kind) {
		p.problem(at("kind"), "kind %q of sender %q is none of %v", cut(kind), s.ID, senderKinds)
	}
	if len(s.PTR)+len(s.SPF)+len(s.DKIM) == 0 {
		p.problem(n.Line, "sender %q has no pattern: give at least one of ptr, spf, dkim", s.ID)
	}
	if s.Include != "" {
		if name, ok := pattern(s.Include); ok {
			s.Include = name
		} else {
			p.problem(at("include"), "include %q is no domain name", cut(s.Include))
		}
	}
	for _, w := range setup {
		p.code(&s.Setup, w, at("setup"))
	}
	for _, code := range [...]string{"setup.add-include", "setup.include-subdomain"} {
		if s.Include == "" && slices.Contains(s.Setup, code) {
			p.problem(at("setup"), "sender %q is set up with an include, and has none", s.ID)
		}
	}
	if how != "" {
		var one []string
		if p.code(&one, how, at("dkim_how")); len(one) == 1 {
			s.DKIMHow = one[0]
		}
	}
	if s.URL != "" {
		if u, err := url.Parse(s.URL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			p.problem(at("url"), "url %q is no address of a web page", cut(s.URL))
		}
	}
	switch Confirmation(confirmed) {
	case "":
	case Documentation, DNSKnowledge, BySite:
		s.By = Confirmation(confirmed)
	default:
		p.problem(at("confirmed"), "confirmed %q is none of documentation, dns-knowledge, site", cut(confirmed))
	}
	for _, set := range [...]struct {
		key      string
		patterns []string
	}{{"ptr", s.PTR}, {"spf", s.SPF}, {"dkim", s.DKIM}} {
		for _, d := range set.patterns {
			c := set.key + " " + d
			if other, taken := p.claimed[c]; taken {
				p.problem(at(set.key), "%s %s of sender %q stands in line %d already, of sender %q", set.key, d, s.ID, other.line, other.id)
				continue
			}
			p.claimed[c] = claim{s.ID, at(set.key)}
		}
	}
	if len(p.problems) == before {
		p.senders = append(p.senders, s)
	}
}

// code takes a word of setup.
func (p *catalogueParser) code(to *[]string, word string, line int) {
	code, ok := setupCodes[word]
	if !ok {
		p.problem(line, "%q is nothing that can be set up; known: %s", cut(word), strings.Join(sortedKeys(setupCodes), ", "))
		return
	}
	*to = append(*to, code)
}

func (p *catalogueParser) text(n *yaml.Node, key string, to *string) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		p.problem(n.Line, "%s must be a text", key)
		return
	}
	s := strings.TrimSpace(n.Value)
	most := maxText
	if key == "url" {
		most = 1000
	}
	if len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
		p.problem(n.Line, "%s is longer than %d octets, or has characters that cannot be shown", key, most)
		return
	}
	*to = s
}

// words reads a list of texts, or one text.
func (p *catalogueParser) words(n *yaml.Node, key string) []string {
	items := n.Content
	switch n.Kind {
	case yaml.ScalarNode:
		items = []*yaml.Node{n}
	case yaml.SequenceNode:
	default:
		p.problem(n.Line, "%s must be a list, such as [a, b]", key)
		return nil
	}
	if len(items) > maxPatterns {
		p.problem(n.Line, "%s has more than %d elements", key, maxPatterns)
		return nil
	}
	var out []string
	for _, i := range items {
		var s string
		if p.text(i, key, &s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// patterns reads a list of domains.
func (p *catalogueParser) patterns(n *yaml.Node, key string) []string {
	var out []string
	for _, s := range p.words(n, key) {
		d, ok := pattern(s)
		switch {
		case !ok:
			p.problem(n.Line, "%s %q is no domain name of two labels or more; write haishin.example for it and all names below", key, cut(s))
		case slices.Contains(out, d):
			p.problem(n.Line, "%s %q is there twice", key, d)
		case publicSuffix(d):
			p.problem(n.Line, "%s %q is no organisation's: anybody registers names below it", key, d)
		default:
			out = append(out, d)
		}
	}
	return out
}

// pattern brings a domain into the spelling that reports have: lower case,
// A-labels, no root's dot.
func pattern(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	n, err := domain.Parse(s)
	if err != nil || !strings.Contains(n.String(), ".") {
		return "", false
	}
	return n.String(), true
}

// publicSuffix reports whether a domain is a registry's, below which anybody
// registers names. A company's own suffix, such as that of a hoster, is not.
func publicSuffix(s string) bool {
	suffix, icann := publicsuffix.PublicSuffix(s)
	return icann && suffix == s
}

// cut makes a value fit to stand in an error.
func cut(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
