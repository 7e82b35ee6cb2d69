package authres

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sekimori/message"
)

// ErrVersion is in the error about a field in a version of the format that
// nobody knows. It is not used (RFC 8601 §2.6).
var ErrVersion = errors.New("unsupported version of Authentication-Results")

// Limits of Parse.
const (
	maxResults  = 500 // in one field
	maxProps    = 100 // of one result
	maxComments = 32  // in each other
)

// Parse reads the value of an Authentication-Results field, folded or not (RFC
// 8601 §2.2): comments and quoted strings anywhere, versions, reasons,
// properties, "none".
//
// It takes what receivers write besides: no authserv-id at all, or one between
// the results; values that ought to be quoted; properties without a type; empty
// results. A pass by a guess is read as none, see Result.Note. Not forgiven is
// what would be read in two ways: an open quote or comment, a control
// character. A field of another version than 1 gives its results with
// ErrVersion.
//
// At most 500 results of 100 properties each, and 32 comments in each other,
// are read. Time and memory grow with len(value).
func Parse(value string) (*Results, error) {
	p := parser{s: value}
	return p.results()
}

// ParseARC reads the value of an ARC-Authentication-Results field (RFC 8617
// §4.1.1): the instance, then as Parse.
func ParseARC(value string) (instance int, r *Results, err error) {
	p := parser{s: value}
	if err := p.octets(); err != nil {
		return 0, nil, err
	}
	if err := p.cfws(); err != nil {
		return 0, nil, err
	}
	tag, err := p.word()
	if err != nil {
		return 0, nil, err
	}
	if err := p.cfws(); err != nil {
		return 0, nil, err
	}
	if !strings.EqualFold(tag, "i") || p.peek() != '=' {
		return 0, nil, p.fail(0, "no instance tag \"i=\"")
	}
	p.i++
	if err := p.cfws(); err != nil {
		return 0, nil, err
	}
	at := p.i
	digits, err := p.word()
	if err != nil {
		return 0, nil, err
	}
	if instance, err = strconv.Atoi(digits); err != nil || instance < 1 || instance > 50 || digits[0] == '+' {
		// RFC 8617 §4.2.1: 1 to 50.
		return 0, nil, p.fail(at, "instance %.20q is not a number from 1 to 50", digits)
	}
	if err := p.cfws(); err != nil {
		return 0, nil, err
	}
	if p.peek() != ';' {
		return 0, nil, p.fail(p.i, "%s behind the instance, want \";\"", p.found())
	}
	p.i++
	r, err = p.results()
	return instance, r, err
}

type parser struct {
	s       string
	i       int
	comment string // the first comment since it was cleared
	guess   bool   // a comment spoke of a best guess
}

func (p *parser) fail(at int, format string, args ...any) error {
	return fmt.Errorf("authentication results, octet %d: %s", at+1, fmt.Sprintf(format, args...))
}

func (p *parser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *parser) found() string {
	if p.i >= len(p.s) {
		return "the end"
	}
	return fmt.Sprintf("%q", p.s[p.i])
}

// octets refuses control characters. Line ends are folding or nothing.
func (p *parser) octets() error {
	s := p.s
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= ' ' && c != 0x7f || c == '\t':
		case c == '\r' && i+1 < len(s) && s[i+1] == '\n':
		case c == '\n' && (i+1 == len(s) || s[i+1] == ' ' || s[i+1] == '\t'):
		default:
			return p.fail(i, "control character %q", c)
		}
	}
	return nil
}

// results reads authserv-id [version] and what follows.
func (p *parser) results() (*Results, error) {
	if err := p.octets(); err != nil {
		return nil, err
	}
	if err := p.cfws(); err != nil {
		return nil, err
	}
	r := &Results{Version: 1, Results: make([]Result, 0, 4)}
	start := p.i
	id, err := p.word()
	if err != nil {
		return nil, err
	}
	if err := p.cfws(); err != nil {
		return nil, err
	}
	switch {
	case p.peek() == '=' && p.s[start] != '"':
		p.i = start // no authserv-id: the first result stands in its place
	case p.i == len(p.s) && id == "" && start == p.i:
		return nil, p.fail(0, "the field is empty")
	default:
		r.AuthServID = id
		if err := p.version(r); err != nil {
			return nil, err
		}
	}
	for {
		if p.peek() == ';' {
			p.i++
		}
		if err := p.cfws(); err != nil {
			return nil, err
		}
		if p.i == len(p.s) {
			break
		}
		if p.s[p.i] == ';' { // an empty result
			continue
		}
		if len(r.Results) >= maxResults || len(r.strays) >= maxResults {
			return nil, fmt.Errorf("authentication results: more than %d: %w", maxResults, message.ErrTooLarge)
		}
		if err := p.result(r); err != nil {
			return nil, err
		}
	}
	if len(r.Results) == 0 {
		r.Results = nil
	}
	if r.Version != 1 {
		return r, fmt.Errorf("%w: %d", ErrVersion, r.Version)
	}
	return r, nil
}

// version reads what stands between the authserv-id and the first semicolon.
func (p *parser) version(r *Results) error {
	for n := 0; p.i < len(p.s) && p.s[p.i] != ';'; n++ {
		w, err := p.word()
		if err != nil {
			return err
		}
		if w == "" && p.peek() == '=' {
			p.i++
		}
		if v, ok := number(w); ok && n == 0 {
			r.Version = v
		} else if len(r.strays) < maxResults {
			r.strays = append(r.strays, w)
		}
		if err := p.cfws(); err != nil {
			return err
		}
	}
	return nil
}

// number reads 1*DIGIT; what is too large for a version is -1.
func number(s string) (int, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || '9' < s[i] {
			return 0, false
		}
	}
	if s == "" {
		return 0, false
	}
	if len(s) > 9 {
		return -1, true
	}
	n, _ := strconv.Atoi(s)
	if n == 0 {
		n = -1 // 0 is "not said"
	}
	return n, true
}

// result reads methodspec [reasonspec] [propspec...] up to the semicolon.
func (p *parser) result(r *Results) error {
	p.comment, p.guess = "", false
	method, err := p.word()
	if err != nil {
		return err
	}
	if err := p.cfws(); err != nil {
		return err
	}
	if method, err = p.join(method, '/'); err != nil {
		return err
	}
	if p.peek() != '=' || method == "" {
		return p.stray(r, method)
	}
	p.i++
	if err := p.cfws(); err != nil {
		return err
	}
	out := Result{Method: strings.ToLower(method), Version: 1}
	if m, v, ok := strings.Cut(out.Method, "/"); ok { // RFC 8601 §2.2, method-version
		if n, ok := number(v); ok {
			out.Method, out.Version = m, n
		}
	}
	value, err := p.word()
	if err != nil {
		return err
	}
	out.Value = strings.ToLower(value)
	for {
		if err := p.cfws(); err != nil {
			return err
		}
		if p.i == len(p.s) || p.s[p.i] == ';' {
			break
		}
		if err := p.property(&out); err != nil {
			return err
		}
	}
	out.Comment = cleanText(message.Unquote(p.comment))
	out.judge(p.guess)
	r.Results = append(r.Results, out)
	return nil
}

// judge takes passes that stand on no record for what they are.
func (r *Result) judge(guess bool) {
	switch {
	case strings.HasPrefix(r.Value, "bestguess"):
		r.Value, r.Note = "none", r.Value
	case guess && r.Value == "pass":
		r.Value, r.Note = "none", "pass (best guess record)"
	}
}

// stray skips a segment that is no result: "none", an authserv-id in the wrong
// place, or worse.
func (p *parser) stray(r *Results, first string) error {
	alone := p.i == len(p.s) || p.s[p.i] == ';'
	if alone && strings.EqualFold(first, "none") {
		return nil
	}
	r.strays = append(r.strays, first)
	for p.i < len(p.s) && p.s[p.i] != ';' {
		at := p.i
		if _, err := p.word(); err != nil {
			return err
		}
		if p.i == at {
			p.i++
		}
		if err := p.cfws(); err != nil {
			return err
		}
	}
	return nil
}

// property reads reason=value, ptype.property=value or name=value. A word
// without "=" is skipped.
func (p *parser) property(r *Result) error {
	at := p.i
	key, err := p.word()
	if err != nil {
		return err
	}
	if err := p.cfws(); err != nil {
		return err
	}
	if key, err = p.join(key, '.'); err != nil {
		return err
	}
	if p.peek() != '=' {
		if p.i == at {
			p.i++ // cannot begin a word
		}
		return nil
	}
	p.i++
	if err := p.cfws(); err != nil {
		return err
	}
	value, err := p.value()
	if err != nil {
		return err
	}
	key = strings.ToLower(key)
	if key == "reason" {
		r.Reason = cleanText(value)
		return nil
	}
	if key == "" {
		return nil
	}
	if len(r.Props) >= maxProps {
		return fmt.Errorf("authentication results, octet %d: more than %d properties: %w", at+1, maxProps, message.ErrTooLarge)
	}
	if r.Props == nil {
		r.Props = make([]Prop, 0, 4)
	}
	prop := Prop{Name: key, Value: value}
	if t, n, ok := strings.Cut(key, "."); ok {
		prop.Type, prop.Name = t, n
	}
	r.Props = append(r.Props, prop)
	return nil
}

// join adds what stands behind a separator that has white space or comments
// around it: "dkim / 1", "smtp . mailfrom".
func (p *parser) join(word string, separator byte) (string, error) {
	for len(word) < 200 && p.i < len(p.s) {
		c := p.s[p.i]
		if c != separator && (word == "" || word[len(word)-1] != separator || c == '=' || c == ';' || c == '"') {
			break
		}
		more, err := p.word()
		if err != nil {
			return "", err
		}
		word += more
		if err := p.cfws(); err != nil {
			return "", err
		}
	}
	return word, nil
}

// word reads a quoted string, without its quotes, or a run of characters up to
// white space or one of ; ( " =. It is empty only where "=" stands.
func (p *parser) word() (string, error) {
	if p.peek() == '"' {
		s, err := p.quoted()
		return message.Unquote(s), err
	}
	from := p.i
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n', ';', '(', '"', '=':
			return p.s[from:p.i], nil
		}
		p.i++
	}
	return p.s[from:], nil
}

// value reads a pvalue: value / [[local-part] "@"] domain-name, and what people
// write for it: anything up to white space, a comment or a semicolon. A quoted
// local part keeps its quotes.
func (p *parser) value() (string, error) {
	from := p.i
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n', ';', '(':
			return p.s[from:p.i], nil
		case '"':
			s, err := p.quoted()
			if err != nil {
				return "", err
			}
			if whole := p.i == from+len(s)+2; whole && p.peek() != '@' {
				return message.Unquote(s), nil
			}
		default:
			p.i++
		}
	}
	return p.s[from:p.i], nil
}

// quoted reads a quoted string and returns what is inside, as it stands.
func (p *parser) quoted() (string, error) {
	open := p.i
	for p.i++; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '\\':
			p.i++
		case '"':
			p.i++
			return p.s[open+1 : p.i-1], nil
		}
	}
	p.i = len(p.s)
	return "", p.fail(open, "a quotation mark without the closing one")
}

// cfws skips comments and folding white space (RFC 5322 §3.2.2).
func (p *parser) cfws() error {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		case '(':
			if err := p.skipComment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (p *parser) skipComment() error {
	open, depth := p.i, 0
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '\\':
			p.i++
		case '(':
			if depth++; depth > maxComments {
				return fmt.Errorf("authentication results, octet %d: comments nested deeper than %d: %w", p.i+1, maxComments, message.ErrTooLarge)
			}
		case ')':
			if depth--; depth > 0 {
				continue
			}
			text := p.s[open+1 : p.i]
			p.i++
			if p.comment == "" {
				p.comment = text
			}
			p.guess = p.guess || speaksOfGuess(text)
			return nil
		}
	}
	p.i = len(p.s)
	return p.fail(open, "\"(\" without its \")\"")
}

// speaksOfGuess finds Google's "best guess record for domain of …".
func speaksOfGuess(comment string) bool {
	i := strings.IndexAny(comment, "gG")
	for ; i >= 0; i++ {
		if len(comment)-i < len("guess") {
			return false
		}
		if strings.EqualFold(comment[i:i+5], "guess") && strings.Contains(strings.ToLower(comment), "best") {
			return true
		}
		n := strings.IndexAny(comment[i+1:], "gG")
		if n < 0 {
			return false
		}
		i += n
	}
	return false
}
