package dkim

// width is how long lines may be: 78 with the CRLF not counted (RFC 5322
// §2.1.1).
const width = 77

// folder writes the value of a field, with line breaks where white space means
// nothing.
type folder struct {
	b   []byte
	col int
	any bool // a tag was written
}

func (w *folder) text(s string) { w.b = append(w.b, s...) }

func (w *folder) put(s string) {
	w.b = append(w.b, s...)
	w.col += len(s)
}

// next makes room for n columns: a space, or a new line.
func (w *folder) next(n int) {
	if w.col+1+n > width {
		w.text("\r\n ")
		w.col = 1
		return
	}
	w.put(" ")
}

// begin ends the tag before.
func (w *folder) begin(n int) {
	if w.any {
		w.put(";")
	}
	w.any = true
	w.next(n + 1) // and the semicolon
}

func (w *folder) tag(name, value string) {
	w.begin(len(name) + 1 + len(value))
	w.put(name)
	w.put("=")
	w.put(value)
}

// list writes a tag whose value may be broken after each colon.
func (w *folder) list(name string, items []string) {
	w.begin(len(name) + 1 + len(items[0]) + 1)
	w.put(name)
	w.put("=")
	for i, item := range items {
		if i > 0 {
			w.put(":")
			if w.col+len(item)+1 > width {
				w.text("\r\n ")
				w.col = 1
			}
		}
		w.put(item)
	}
}

// open writes a tag without its value.
func (w *folder) open(name string) {
	w.begin(len(name) + 1)
	w.put(name)
	w.put("=")
}

// chunks writes a value that may be broken anywhere.
func (w *folder) chunks(s string) {
	for len(s) > 0 {
		if w.col >= width {
			w.text("\r\n ")
			w.col = 1
		}
		n := min(width-w.col, len(s))
		w.put(s[:n])
		s = s[n:]
	}
}
