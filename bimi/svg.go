package bimi

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"sekimori/explain"
)

// Limits of a logo.
const (
	// MaxLogo is the largest logo that receivers take, in octets, not
	// compressed (draft-svg-tiny-ps-abrotman §2, and the mark certificates'
	// requirements).
	MaxLogo = 32 << 10
	// MaxLogoRead is the largest that is looked at, so as to say what is wrong.
	MaxLogoRead = 256 << 10

	maxDepth        = 64
	maxDrawn        = 20000 // elements, each counted as often as "use" repeats it
	maxLogoFindings = 40
)

// Logo is what a logo's file holds.
type Logo struct {
	// SVG is the drawing, not compressed; nil where it could not be unpacked.
	SVG   []byte
	Title string // of the drawing: the brand's name; clipped
	// Findings are what is wrong, at most 40; each names the line where it
	// first occurs.
	Findings []explain.Finding
}

// Valid reports whether receivers take the logo: nothing in it is an error.
func (l *Logo) Valid() bool {
	return !slices.ContainsFunc(l.Findings, func(f explain.Finding) bool { return f.Grade == explain.Error })
}

// ReadLogo looks at a logo's file, an SVG or an SVG in gzip (.svgz), by the
// profile SVG Tiny PS. It draws nothing and follows no reference; DTDs and
// entities are refused. Time and memory grow with the drawing, of which
// MaxLogoRead octets are unpacked at most.
func ReadLogo(file []byte) Logo {
	var l logoReader
	svg, err := Unpack(file)
	switch {
	case errors.Is(err, errLong):
		l.add(explain.Error, "bimi.svg.long", explain.Args{"limit": int64(MaxLogoRead)}, "")
		return l.Logo
	case err != nil:
		l.add(explain.Error, "bimi.svg.gzip", nil, "")
		return l.Logo
	}
	l.SVG = svg
	if len(svg) > MaxLogo {
		l.add(explain.Error, "bimi.svg.large", explain.Args{"octets": int64(len(svg)), "limit": int64(MaxLogo)}, "")
	}
	l.read()
	return l.Logo
}

var errLong = errors.New("longer than is read")

// Unpack undoes the compression of a logo, if it is compressed.
func Unpack(file []byte) ([]byte, error) {
	if !bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
		if len(file) > MaxLogoRead {
			return nil, errLong
		}
		return file, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("logo: gzip: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, MaxLogoRead+1))
	switch {
	case len(out) > MaxLogoRead:
		return nil, errLong
	case err != nil:
		return nil, fmt.Errorf("logo: gzip: %w", err)
	}
	return out, nil
}

const (
	nsSVG   = "http://www.w3.org/2000/svg"
	nsXLink = "http://www.w3.org/1999/xlink"
	nsXML   = "http://www.w3.org/XML/1998/namespace"
)

const profileRef = "draft-svg-tiny-ps-abrotman"

// logoReader walks over a drawing.
type logoReader struct {
	Logo
	line  int
	said  map[string]bool
	stack []open
	title strings.Builder
	root  bool // one was seen
	drawing
}

// open is an element that has begun.
type open struct {
	name   string // as written
	is     string // its name in the profile; empty for one that is not in it
	spaces map[string]string
	kids   int
	ids    int // how many ids are around what is in it
}

func (l *logoReader) add(g explain.Grade, code string, args explain.Args, part string) {
	if args == nil {
		args = explain.Args{}
	}
	key := code
	for _, name := range [...]string{"element", "attribute", "value"} {
		if s, ok := args[name].(string); ok {
			s = explain.Clip(s)
			args[name], key = s, key+"\x00"+s
		}
	}
	if l.said == nil {
		l.said = map[string]bool{}
	}
	if l.said[key] || len(l.Findings) >= maxLogoFindings {
		return
	}
	l.said[key] = true
	if l.line > 0 {
		args["line"] = int64(l.line)
	}
	l.Findings = append(l.Findings, explain.Finding{Grade: g, Part: explain.Clip(part), Step: explain.Step{Code: code, Args: args, Ref: profileRef}})
}

// read walks over the tokens. Namespaces and the matching of tags are seen to
// here, as the decoder's own way is lenient.
func (l *logoReader) read() {
	text, marked := bytes.CutPrefix(l.SVG, []byte("\xef\xbb\xbf"))
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = true
	ok := true
	for first := true; ok; first = false {
		l.line, _ = d.InputPos()
		at := d.InputOffset()
		token, err := d.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			l.broken(err)
			return
		}
		switch t := token.(type) {
		case xml.StartElement:
			ok = l.begin(t, text[at:d.InputOffset()])
		case xml.EndElement:
			ok = l.end(t)
		case xml.CharData:
			ok = l.chars(t, text[at:d.InputOffset()])
		case xml.Directive:
			l.add(explain.Error, "bimi.svg.doctype", nil, "")
			return // what follows may be made up of its entities
		case xml.ProcInst:
			switch {
			case t.Target == "xml" && first && !marked || t.Target == "xml" && at == 0:
			case strings.EqualFold(t.Target, "xml"):
				l.syntax("<?xml")
				return
			default:
				l.add(explain.Error, "bimi.svg.instruction", explain.Args{"element": t.Target}, "")
			}
		}
	}
	switch {
	case !ok:
	case len(l.stack) > 0:
		l.syntax("<" + l.stack[len(l.stack)-1].name + ">")
	case !l.root:
		l.add(explain.Error, "bimi.svg.root", explain.Args{"element": ""}, "")
	default:
		l.finish()
	}
}

// broken is an error of the decoder's.
func (l *logoReader) broken(err error) {
	var s *xml.SyntaxError
	if errors.As(err, &s) {
		l.line = s.Line
	} else if strings.Contains(err.Error(), "encoding") {
		l.add(explain.Error, "bimi.svg.encoding", nil, "")
		return
	}
	l.syntax("")
}

func (l *logoReader) syntax(part string) {
	l.add(explain.Error, "bimi.svg.syntax", nil, part)
}

// begin takes a start tag; false ends the walk, as it is not well-formed.
func (l *logoReader) begin(t xml.StartElement, raw []byte) bool {
	if len(l.stack) == 0 && l.root {
		l.syntax("<" + t.Name.Local)
		return false // a second root
	}
	if len(l.stack) >= maxDepth {
		l.add(explain.Error, "bimi.svg.deep", explain.Args{"limit": int64(maxDepth)}, "")
		return false
	}
	spaces := map[string]string{"xml": nsXML}
	if n := len(l.stack); n > 0 {
		spaces = l.stack[n-1].spaces
	}
	own := false
	for _, a := range t.Attr {
		prefix := ""
		switch {
		case a.Name.Space == "xmlns":
			prefix = a.Name.Local
		case a.Name.Space != "" || a.Name.Local != "xmlns":
			continue
		}
		if prefix == "xmlns" || (prefix == "xml") != (a.Value == nsXML) || a.Value == "" && prefix != "" || a.Value == "http://www.w3.org/2000/xmlns/" {
			l.syntax("xmlns:" + prefix)
			return false
		}
		if !own {
			spaces, own = copied(spaces), true
		}
		spaces[prefix] = a.Value
	}
	space, known := spaces[t.Name.Space]
	if t.Name.Space != "" && !known || !isQName(t.Name) || bytes.IndexByte(raw, '<') != 0 || bytes.IndexByte(raw[1:], '<') >= 0 {
		l.syntax("<" + qname(t.Name))
		return false
	}
	o := open{name: qname(t.Name), spaces: spaces}
	if _, in := elements[t.Name.Local]; in && space == nsSVG {
		o.is = t.Name.Local
	}
	isRoot := len(l.stack) == 0
	attributes, ok := l.attributes(t.Attr, spaces)
	if !ok {
		return false
	}
	switch {
	case isRoot && o.is != "svg":
		l.root = true
		l.add(explain.Error, "bimi.svg.root", explain.Args{"element": o.name}, "")
		l.stack = append(l.stack, open{name: o.name, spaces: spaces})
		return true // only whether it is well-formed matters now
	case isRoot:
		l.root = true
		l.svg(attributes)
	default:
		l.place(&l.stack[len(l.stack)-1], &o)
	}
	if o.is != "" {
		l.check(o.is, attributes)
		l.draw(&o, attributes)
	}
	l.stack = append(l.stack, o)
	return true
}

// place sees to it that an element may stand where it does.
func (l *logoReader) place(parent, o *open) {
	parent.kids++
	if parent.is == "" {
		o.is = "" // said of the outermost
		return
	}
	p := elements[parent.is]
	switch {
	case o.is == "" || o.is == "svg":
		l.add(explain.Error, "bimi.svg.element", explain.Args{"element": o.name}, "")
		o.is = ""
	case !p.children[o.is]:
		l.add(explain.Error, "bimi.svg.place", explain.Args{"element": o.name, "value": parent.name}, "")
	case parent.is == "svg" && o.is == "title" && parent.kids > 1:
		l.add(explain.Error, "bimi.svg.title-late", nil, "")
	case parent.is == "svg" && o.is != "title" && parent.kids == 1:
		l.add(explain.Error, "bimi.svg.title-missing", nil, "")
	}
}

func (l *logoReader) end(t xml.EndElement) bool {
	n := len(l.stack)
	if n == 0 || l.stack[n-1].name != qname(t.Name) {
		l.syntax("</" + qname(t.Name) + ">")
		return false
	}
	o := l.stack[n-1]
	l.stack = l.stack[:n-1]
	l.leave(&o)
	if o.is == "title" && n == 2 {
		if l.Title = explain.Clip(strings.Join(strings.Fields(l.title.String()), " ")); l.Title == "" {
			l.add(explain.Error, "bimi.svg.title-empty", nil, "")
		}
	}
	if o.is == "svg" && o.kids == 0 {
		l.add(explain.Error, "bimi.svg.title-missing", nil, "")
	}
	return true
}

func (l *logoReader) chars(t xml.CharData, raw []byte) bool {
	n := len(l.stack)
	blank := len(bytes.Trim(t, " \t\r\n")) == 0
	switch {
	case n == 0 && (!blank || bytes.ContainsAny(raw, "&<")), bytes.Contains(raw, []byte("]]>")) && !bytes.HasPrefix(raw, []byte("<![CDATA[")):
		l.syntax(string(t))
		return false // text outside of the root, or XML 1.0 §2.4
	case blank || l.stack[n-1].is == "":
	case !elements[l.stack[n-1].is].text:
		l.add(explain.Error, "bimi.svg.text", explain.Args{"element": l.stack[n-1].name}, string(t))
	}
	if n == 2 && l.stack[1].is == "title" && l.title.Len() < 4096 {
		l.title.Write(t)
	}
	return true
}

// attribute is one with its name as the profile writes it; empty for one of a
// foreign namespace.
type attribute struct{ name, written, value string }

// attributes resolves the names; false where it is not well-formed.
func (l *logoReader) attributes(list []xml.Attr, spaces map[string]string) ([]attribute, bool) {
	out := make([]attribute, 0, len(list))
	seen := make(map[xml.Name]bool, len(list))
	for _, a := range list {
		key := xml.Name{Local: a.Name.Local}
		if a.Name.Space != "" && a.Name.Space != "xmlns" {
			space, known := spaces[a.Name.Space]
			if !known {
				l.syntax(qname(a.Name))
				return nil, false
			}
			key.Space = space
		} else {
			key.Space = a.Name.Space
		}
		if seen[key] || !isQName(a.Name) {
			l.syntax(qname(a.Name))
			return nil, false
		}
		seen[key] = true
		if key.Space == "xmlns" || key.Space == "" && key.Local == "xmlns" {
			continue
		}
		at := attribute{written: qname(a.Name), value: a.Value}
		switch key.Space {
		case "":
			at.name = a.Name.Local
		case nsXML:
			at.name = "xml:" + a.Name.Local
		case nsXLink:
			at.name = "xlink:" + a.Name.Local
		}
		out = append(out, at)
	}
	return out, true
}

// check holds attributes against the profile.
func (l *logoReader) check(is string, list []attribute) {
	e := elements[is]
	id := ""
	for _, a := range list {
		args := explain.Args{"element": is, "attribute": a.written, "value": a.value}
		part := a.written + `="` + a.value + `"`
		allowed, ok := e.attributes[a.name]
		switch {
		case strings.HasPrefix(strings.ToLower(a.name), "on") && !ok:
			l.add(explain.Error, "bimi.svg.script", explain.Args{"element": is, "attribute": a.written}, part)
		case !ok && is == "svg" && (a.name == "x" || a.name == "y"):
			l.add(explain.Error, "bimi.svg.root-place", explain.Args{"attribute": a.name}, part)
		case !ok:
			l.add(explain.Error, "bimi.svg.attribute", explain.Args{"element": is, "attribute": a.written}, part)
		case allowed != nil && !slices.Contains(allowed, strings.Join(strings.Fields(a.value), " ")), !fits(a.name, a.value):
			l.add(explain.Error, "bimi.svg.value", args, part)
		case strings.HasSuffix(a.name, "href") && !strings.HasPrefix(strings.TrimSpace(a.value), "#"), !local(a.value),
			a.name == "xml:base" && strings.TrimSpace(a.value) != "":
			l.add(explain.Error, "bimi.svg.reference", args, part)
		}
		if a.name == "id" || a.name == "xml:id" {
			if id != "" {
				l.add(explain.Error, "bimi.svg.attribute", explain.Args{"element": is, "attribute": a.written}, part)
			}
			id = a.name
		}
	}
}

// fits holds the values of attributes against the forms that they have in the
// schema.
func fits(name, value string) bool {
	switch name {
	case "id", "xml:id":
		return isNCName(strings.Trim(value, " \t\r\n"))
	case "xml:lang":
		return isLanguage(strings.Trim(value, " \t\r\n"))
	case "class":
		list := strings.Fields(value)
		return len(list) > 0 && !slices.ContainsFunc(list, func(s string) bool { return !isNMToken(s) })
	case "preserveAspectRatio":
		s := strings.Trim(value, " \t\r\n")
		rest, none := strings.CutPrefix(s, "none")
		if !none {
			if rest, none = strings.CutPrefix(s, "xMidYMid"); !none {
				return false
			}
		}
		rest = strings.Trim(rest, " \t\r\n")
		return rest == "" || rest == "meet"
	}
	return true
}

// local: what a value refers to by url() is in the drawing itself.
func local(value string) bool {
	for {
		i := strings.Index(strings.ToLower(value), "url(")
		if i < 0 {
			return true
		}
		value = strings.TrimLeft(value[i+len("url("):], " \t\r\n'\"")
		if !strings.HasPrefix(value, "#") {
			return false
		}
	}
}

// svg looks at the root's own attributes.
func (l *logoReader) svg(list []attribute) {
	has := map[string]string{}
	for _, a := range list {
		has[a.name] = a.value
	}
	for _, need := range [...]struct{ name, value string }{{"version", "1.2"}, {"baseProfile", "tiny-ps"}} {
		if _, ok := has[need.name]; !ok {
			l.add(explain.Error, "bimi.svg.missing", explain.Args{"attribute": need.name, "value": need.value}, "")
		}
	}
	box, ok := numbers(has["viewBox"])
	switch {
	case has["viewBox"] == "":
		w, okW := length(has["width"])
		h, okH := length(has["height"])
		switch {
		case !okW || !okH:
			l.add(explain.Advice, "bimi.svg.no-view", nil, "")
		case w != h:
			l.add(explain.Warning, "bimi.svg.not-square", nil, "")
		}
	case !ok || len(box) != 4 || box[2] <= 0 || box[3] <= 0:
		l.add(explain.Warning, "bimi.svg.view", explain.Args{"value": has["viewBox"]}, "")
	case box[2] != box[3]:
		l.add(explain.Warning, "bimi.svg.not-square", nil, `viewBox="`+has["viewBox"]+`"`)
	}
}

// numbers reads a list of numbers, with blanks or commas between.
func numbers(s string) ([]float64, bool) {
	var out []float64
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) }) {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil || len(out) == 8 {
			return nil, false
		}
		out = append(out, v)
	}
	return out, true
}

// length reads a length in pixels.
func length(s string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(s), "px"), 64)
	return v, err == nil && v > 0
}

func copied(m map[string]string) map[string]string {
	out := make(map[string]string, len(m)+1)
	for k, v := range m {
		out[k] = v
	}
	return out
}

func qname(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}
