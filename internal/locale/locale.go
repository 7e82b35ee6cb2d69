// Package locale holds every sentence that a person reads, in Japanese and in
// English. The rest of the program speaks in codes (see package explain); the
// sentences are JSON files beside this one, one per language and room, named
// ROOM.LANG.json: an object of code → sentence.
//
// A sentence may hold placeholders, filled from the arguments of the code:
//
//	{name}                    the value of name
//	{name|message|messages}   the value of name, a space, and the English
//	                          singular (for 1) or plural
//	{name@class}              the sentence of the code "class." + value, for a
//	                          value that is a token of the program; where
//	                          there is no such code, the value itself
//
// Numbers are grouped by thousands; a fraction whose name ends in "share",
// "ratio" or "upper95" is shown in percent; lists are joined by 、 or ", ". A
// brace is written {{ or }}.
package locale

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
	"sync"

	"sekimori/explain"
)

// Lang is a language of the interface by its BCP 47 tag.
type Lang string

const (
	Japanese Lang = "ja"
	English  Lang = "en"
)

// Langs lists the languages in the order in which a switch shows them.
var Langs = [...]Lang{Japanese, English}

//go:embed *.json
var files embed.FS

// catalogue is the sentences of each language by code, each parsed.
type catalogue map[Lang]map[string]sentence

// load reads the embedded files once. The files are part of the program, so
// a fault in them is found by the tests; at run time a file that cannot be
// read leaves its codes unknown.
var load = sync.OnceValue(func() catalogue {
	c, _ := read(files)
	return c
})

// read parses every ROOM.LANG.json of fsys. It returns what it could read
// together with the first fault.
func read(fsys fs.FS) (catalogue, error) {
	c := catalogue{}
	for _, l := range Langs {
		c[l] = map[string]sentence{}
	}
	names, err := fs.Glob(fsys, "*.json")
	if err != nil {
		return c, err
	}
	sort.Strings(names)
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	for _, name := range names {
		lang := Lang(strings.TrimPrefix(path.Ext(strings.TrimSuffix(name, ".json")), "."))
		texts, ok := c[lang]
		if !ok {
			note(fmt.Errorf("%s: no such language: want ROOM.ja.json or ROOM.en.json", name))
			continue
		}
		raw, err := fs.ReadFile(fsys, name)
		if err != nil {
			note(err)
			continue
		}
		var m map[string]string
		if err := json.Unmarshal(raw, &m); err != nil {
			note(fmt.Errorf("%s: %w", name, err))
			continue
		}
		for code, text := range m {
			if _, dup := texts[code]; dup {
				note(fmt.Errorf("%s: code %q has a sentence in another file too", name, code))
				continue
			}
			s, err := parseSentence(text)
			if err != nil {
				note(fmt.Errorf("%s: code %q: %w", name, code, err))
				continue
			}
			texts[code] = s
		}
	}
	return c, first
}

// Parse returns the language of a tag such as "ja", "en" or "en-GB".
func Parse(s string) (Lang, bool) {
	tag, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(s)), "-")
	tag, _, _ = strings.Cut(tag, "_")
	for _, l := range Langs {
		if tag == string(l) {
			return l, true
		}
	}
	return "", false
}

// Has reports whether code has a sentence in the language.
func (l Lang) Has(code string) bool {
	_, ok := load()[l][code]
	return ok
}

// Text returns the sentence of a code with its arguments filled in, as plain
// text (callers escape it). An unknown code is returned in ⟦⟧, and so is a
// placeholder without its argument, so that neither goes unseen.
func (l Lang) Text(code string, args explain.Args) string {
	s, ok := load()[l][code]
	if !ok {
		return "⟦" + code + "⟧"
	}
	return s.fill(l, args)
}

// Step returns the sentence of a step, without its children.
func (l Lang) Step(s explain.Step) string { return l.Text(s.Code, s.Args) }

// Codes returns every code that has a sentence in the language, sorted.
func (l Lang) Codes() []string {
	m := load()[l]
	codes := make([]string, 0, len(m))
	for c := range m {
		codes = append(codes, c)
	}
	sort.Strings(codes)
	return codes
}
