package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// node is a value in the file, and where it stands: its path is the keys on
// the way to it, joined by dots.
type node struct {
	*yaml.Node
	path string
}

// section is what may stand in a mapping: key → what reads its value.
type section map[string]func(*node)

// reader collects what it finds wrong instead of stopping at it.
type reader struct {
	name, folder string
	problems     Errors
	warnings     []Problem
	// known and seen are paths of keys: those that were asked for and those
	// that the file has. Tests compare them.
	known, seen map[string]bool

	emailAt *node // reports.email
}

func (r *reader) problem(n *node, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if n.path != "" {
		text = n.path + ": " + text
	}
	r.problems = append(r.problems, Problem{r.name, n.Line, n.Column, text})
}

func (r *reader) warn(n *node, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{r.name, n.Line, n.Column, n.path + ": " + fmt.Sprintf(format, args...)})
}

// document parses the text, and returns its only document; nil where there is
// none, or what is there cannot be read.
func (r *reader) document(text []byte) *node {
	whole := func(line int, format string, args ...any) *node {
		column := 0
		if line > 0 {
			column = 1
		}
		r.problems = append(r.problems, Problem{r.name, line, column, fmt.Sprintf(format, args...)})
		return nil
	}
	if len(text) > maxFile {
		return whole(0, "larger than %d octets: this is no configuration", maxFile)
	}
	if !utf8.Valid(text) {
		for i, line := range bytes.Split(text, []byte("\n")) {
			if !utf8.Valid(line) {
				return whole(i+1, "this line is not in UTF-8: save the file in UTF-8, not in Shift_JIS or EUC-JP")
			}
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := decode(d, &doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return r.syntax(text, err)
	}
	var second yaml.Node
	if err := decode(d, &second); err == nil {
		return whole(second.Line, "a second document begins here: a configuration is one")
	} else if !errors.Is(err, io.EOF) {
		return r.syntax(text, err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || empty(doc.Content[0]) {
		return nil
	}
	return &node{Node: doc.Content[0]}
}

// decode reads a document. The library is known to have panicked on broken
// text; that is an error of the text.
func decode(d *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("yaml: %v", v)
		}
	}()
	return d.Decode(n)
}

var yamlError = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// syntax says what is wrong with text that is no YAML, with the cause where it
// is one of the usual ones.
func (r *reader) syntax(text []byte, err error) *node {
	p := Problem{File: r.name, Text: "not YAML: " + err.Error()}
	if m := yamlError.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Text = "not YAML: " + m[2]
	}
	lines := strings.Split(string(text), "\n")
	// The library names the line where it noticed, which may be the one after.
	for l := p.Line; l >= max(1, p.Line-1); l-- {
		if l > len(lines) {
			continue
		}
		line := lines[l-1]
		rest := strings.TrimLeft(line, " ")
		indent := len(line) - len(rest)
		switch {
		case strings.HasPrefix(rest, "\t"):
			p.Line, p.Column, p.Text = l, indent+1, "the line is indented with a tab: YAML wants spaces"
		case strings.HasPrefix(rest, "\u3000"):
			p.Line, p.Column, p.Text = l, indent+1, "the line is indented with a full-width space: YAML wants ordinary ones"
		case strings.Contains(rest, "：") && !strings.Contains(rest, ": "):
			p.Line, p.Column, p.Text = l, indent+1+strings.Index(rest, "："), "a full-width colon: write \":\" and a space"
		default:
			continue
		}
		break
	}
	if p.Line > 0 && p.Column == 0 {
		p.Column = 1
	}
	r.problems = append(r.problems, p)
	return nil
}

// empty: nothing was written where a value belongs.
func empty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// follow returns what a node stands for: an alias ("*name") its anchor's.
func follow(n *yaml.Node) *yaml.Node {
	for range 16 {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

// mapping reads a mapping: each of its keys with what the section has for it.
func (r *reader) mapping(n *node, path string, s section) {
	if r.known != nil {
		for key := range s {
			r.known[join(path, key)] = true
		}
	}
	if empty(n.Node) {
		return // a section whose lines are all commented out is no mistake
	}
	if n.Kind != yaml.MappingNode {
		r.problem(n, "want keys and values here, such as %q", example(s)+": …")
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], follow(n.Content[i+1])
		at := &node{key, path}
		if line, again := first[key.Value]; again {
			r.problem(at, "%s is there twice: it stands in line %d already", quote(key.Value), line)
			continue
		}
		first[key.Value] = key.Line
		read, known := s[key.Value]
		if key.Kind != yaml.ScalarNode || !known {
			r.unknown(at, s)
			continue
		}
		under := &node{value, join(path, key.Value)}
		if r.seen != nil {
			r.seen[under.path] = true
		}
		read(under)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// example is the first key of a section.
func example(s section) string { return slices.Min(slices.Collect(maps.Keys(s))) }

// places says where the keys of sections belong, for those who put them
// elsewhere.
var places = map[string]string{
	"listen": "gateway", "socket": "gateway", "http": "gateway", "authserv_id": "gateway", "trusted_ids": "gateway", "mode": "gateway",
	"on_reject": "gateway", "on_quarantine": "gateway", "on_trouble": "gateway", "on_bad_from": "gateway", "explain_url": "gateway",
	"networks": "gateway", "bimi": "gateway", "keep": "gateway", "rules": "gateway", "days": "gateway.keep", "subjects": "gateway.keep",
	"organization": "reports", "email": "reports", "contact": "reports", "smtp": "reports", "tls": "reports", "form": "reports",
	"opt_out": "reports", "per_destination": "reports", "failure": "reports", "per_hour": "reports.failure",
	"senders": "advise", "mail": "alerts", "webhook": "alerts", "secret": "alerts", "url": "alerts",
	"gateway": "the top level", "sign": "the top level", "reports": "the top level",
	"advise": "the top level", "alerts": "the top level", "letters": "the top level", "reminders": "the top level",
}

// unknown says what an unknown key was probably meant to be.
func (r *reader) unknown(key *node, s section) {
	switch {
	case key.Kind != yaml.ScalarNode:
		r.problem(key, "a key must be a word")
	case key.Value == "<<":
		r.problem(key, "merging with \"<<\" is not done here: write the keys out")
	default:
		names := slices.Sorted(maps.Keys(s))
		hint := "known here: " + strings.Join(names, ", ")
		if w := near(key.Value, names); w != "" {
			hint = fmt.Sprintf("did you mean %q?", w)
		} else if place := places[key.Value]; place != "" {
			hint = "it belongs under " + place
		}
		r.problem(key, "unknown key %s; %s", quote(key.Value), hint)
	}
}

// list reads each item of a list. A single value counts as a list of one.
func (r *reader) list(n *node, most int, each func(*node)) {
	if empty(n.Node) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		each(n)
		return
	}
	if len(n.Content) > most {
		r.problem(n, "%d entries, at most %d are read", len(n.Content), most)
		return
	}
	for _, item := range n.Content {
		value := follow(item)
		at := &node{value, n.path}
		if empty(value) {
			r.problem(at, "an empty entry: write a value, or delete the line")
			continue
		}
		each(at)
	}
}

// text reads a value as it is written, of at most so many characters.
func (r *reader) text(n *node, most int) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		r.problem(n, "want one value here, not a list or further keys")
		return "", false
	}
	s := strings.TrimSpace(n.Value)
	switch {
	case s == "":
		r.problem(n, "empty: write a value, or delete the line")
	case utf8.RuneCountInString(s) > most:
		r.problem(n, "%d characters, at most %d may be", utf8.RuneCountInString(s), most)
	case strings.ContainsFunc(s, unicode.IsControl):
		r.problem(n, "control characters or line ends in a value: write it in one line")
	default:
		return s, true
	}
	return "", false
}

// word reads one of a few words, and returns its place among them; -1 where it
// is none of them.
func (r *reader) word(n *node, words ...string) int {
	s, ok := r.text(n, 100)
	if !ok {
		return -1
	}
	i := slices.Index(words, s)
	if i < 0 {
		hint := ""
		if w := near(s, words); w != "" {
			hint = fmt.Sprintf("; did you mean %q?", w)
		}
		r.problem(n, "%s is none of %s%s", quote(s), strings.Join(words, ", "), hint)
	}
	return i
}

// flag reads true or false.
func (r *reader) flag(n *node, into *bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		s := "that"
		if n.Kind == yaml.ScalarNode {
			s = quote(n.Value)
		}
		r.problem(n, "%s is neither true nor false", s)
		return
	}
	*into = strings.EqualFold(n.Value, "true")
}

// number reads a whole number of a range.
func (r *reader) number(n *node, least, most int, into *int) {
	s, ok := r.text(n, 100)
	if !ok {
		return
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < least || v > most {
		r.problem(n, "%s is no whole number from %d to %d", quote(s), least, most)
		return
	}
	*into = v
}

func quote(s string) string {
	if utf8.RuneCountInString(s) > 60 {
		return fmt.Sprintf("%q…", string([]rune(s)[:60]))
	}
	return fmt.Sprintf("%q", s)
}
