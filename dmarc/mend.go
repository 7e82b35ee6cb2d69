package dmarc

import (
	"strings"

	"sekimori/explain"
	"sekimori/taglist"
)

// mend undoes what happens to a record on its way into the DNS: quotes and
// backslashes that were meant for the zone file, characters of an office
// program or of a Japanese input method, semicolons left out. It says what it
// found, and returns the text as it was meant; Parse then says whether it is a
// record.
func (l *linter) mend(txt string) string {
	const ref = "RFC 9989 §4.8"
	if len(txt) > maxRecord {
		return txt
	}
	s := ascii(txt)
	if s != txt {
		l.add(explain.Error, "dmarc.lint.not-ascii", nil, ref, explain.ClipFolded(txt))
	}
	if strings.Contains(s, `\;`) {
		l.add(explain.Error, "dmarc.lint.backslash", nil, ref, "")
		s = strings.ReplaceAll(s, `\;`, ";")
	}
	if t := strings.ReplaceAll(s, `\"`, `"`); strings.Contains(t, `"`) || len(t) > 1 && t[0] == '\'' {
		l.add(explain.Error, "dmarc.lint.quotes", nil, ref, "")
		s = strings.Trim(strings.ReplaceAll(t, `"`, ""), "' ")
	}
	if t := strings.TrimLeft(s, " \t\r\n"); t != s {
		l.add(explain.Warning, "dmarc.lint.space-first", nil, ref, "")
		s = t
	}
	s = l.version(s)
	if !begins(s) {
		return s
	}
	return l.separators(s)
}

// ascii replaces what looks like ASCII and is not, and drops what is not seen.
func ascii(s string) string {
	for i := 0; ; i++ {
		if i == len(s) {
			return s
		}
		if s[i] >= 0x80 {
			break
		}
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 0xff01 && r <= 0xff5e: // full width
			return r - 0xff01 + '!'
		case r == 0x3000 || r == 0xa0 || r >= 0x2000 && r <= 0x200a || r == 0x202f:
			return ' '
		case r >= 0x200b && r <= 0x200f || r == 0x2060 || r == 0xfeff || r == 0xad:
			return -1
		case r == '“' || r == '”' || r == '„' || r == '«' || r == '»' || r == '‘' || r == '’':
			return '"'
		case r >= 0x2010 && r <= 0x2015:
			return '-'
		case r == '、':
			return ','
		}
		return r
	}, s)
}

// version repairs the first tag, without which there is no record.
func (l *linter) version(s string) string {
	const ref = "RFC 9989 §4.7"
	if begins(s) {
		return s
	}
	list, _ := taglist.Parse(s)
	if len(list) == 0 {
		return s
	}
	first := list[0]
	value := strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, first.Value)
	if equalFold(first.Name, "v") {
		rest := ""
		if i := strings.IndexByte(s, ';'); i >= 0 {
			rest = s[i:]
		}
		switch up := strings.ToUpper(value); {
		case up == "DMARC1" && !strings.ContainsAny(first.Value, " \t"):
			l.add(explain.Error, "dmarc.lint.version-case", explain.Args{"value": explain.ClipFolded(first.Value)}, ref, explain.ClipFolded("v="+first.Value))
			return "v=DMARC1" + rest
		case up == "DMARC1":
			l.add(explain.Error, "dmarc.lint.version-space", explain.Args{"value": explain.ClipFolded(first.Value)}, ref, explain.ClipFolded("v="+first.Value))
			return "v=DMARC1" + rest
		case strings.HasPrefix(up, "DMARC1"):
			// No semicolon behind it: v=DMARC1 p=none, v=DMARC1,p=none.
			at := strings.IndexByte(s, '1') + 1 // that of DMARC1
			if at == 0 {
				return s
			}
			l.add(explain.Error, "dmarc.lint.version-semicolon", nil, ref, explain.ClipFolded("v="+first.Value))
			return "v=DMARC1; " + strings.TrimLeft(s[at:], " \t,.:")
		case strings.HasPrefix(up, "DMARC"):
			l.add(explain.Error, "dmarc.lint.version-other", explain.Args{"value": explain.ClipFolded(first.Value)}, ref, explain.ClipFolded("v="+first.Value))
			return "v=DMARC1" + rest
		}
		return s
	}
	for i, t := range list[:min(len(list), 20)] {
		if i > 0 && equalFold(t.Name, "v") && strings.EqualFold(t.Value, "DMARC1") || i > 0 && begins(s[t.Offset:]) {
			l.add(explain.Error, "dmarc.lint.version-first", nil, ref, explain.ClipFolded(s))
			rest := append(append(taglist.List{}, list[:i]...), list[i+1:]...)
			return "v=DMARC1; " + join(rest)
		}
	}
	// "p=none; …" without any version, as it is in no other record.
	if equalFold(first.Name, "p") || equalFold(first.Name, "sp") || equalFold(first.Name, "rua") {
		l.add(explain.Error, "dmarc.lint.version-missing", nil, ref, "")
		return "v=DMARC1; " + s
	}
	return s
}

// separators puts semicolons where a known tag follows a space or a comma, and
// a comma where a further address follows a semicolon.
func (l *linter) separators(s string) string {
	const ref = "RFC 9989 §4.8"
	var b strings.Builder
	from := 0
	for i := 1; i < len(s); i++ {
		if s[i-1] != ' ' && s[i-1] != '\t' && s[i-1] != ',' {
			continue
		}
		at := strings.TrimRight(s[:i], " \t,")
		if at == "" || at[len(at)-1] == ';' || at[len(at)-1] == '=' || len(at) < from || !tagAt(s[i:]) {
			continue
		}
		b.WriteString(s[from:len(at)])
		b.WriteString("; ")
		from = i
	}
	if from > 0 {
		l.add(explain.Error, "dmarc.lint.semicolon", nil, ref, "")
		b.WriteString(s[from:])
		s = b.String()
	}
	// rua=mailto:a@x.example; mailto:b@x.example
	pieces := strings.Split(s, ";")
	out := pieces[:1]
	joined := false
	for _, p := range pieces[1:] {
		t := strings.TrimSpace(p)
		last := out[len(out)-1]
		if len(t) > 7 && equalFold(t[:7], "mailto:") && strings.Contains(last, "mailto:") {
			out[len(out)-1] = last + "," + t
			joined = true
			continue
		}
		out = append(out, p)
	}
	if joined {
		l.add(explain.Error, "dmarc.lint.uri-semicolon", nil, ref, "")
		s = strings.Join(out, ";")
	}
	return s
}

// tagAt reports whether a known tag and "=" stand at the start of s.
func tagAt(s string) bool {
	n := 0
	for n < len(s) && n < 6 && isAlpha(s[n]) {
		n++
	}
	name := lower(s[:n])
	if name == "" || rank(name) == len(order) && name != "pct" && name != "rf" && name != "ri" {
		return false
	}
	n = skip(s, n)
	return n < len(s) && s[n] == '='
}
