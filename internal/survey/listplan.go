package survey

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"sekimori/internal/store"
)

// sample is the beginning of a list.
type sample struct {
	rows  [][]string
	lines []int64
}

// bare takes off a header what does not matter: case, width, space, "#", and
// with brackets what is in them.
func bare(header string, brackets bool) string {
	var b strings.Builder
	depth := 0
	for _, r := range strings.ToLower(norm.NFKC.String(header)) {
		switch {
		case brackets && (r == '(' || r == '[' || r == '〔' || r == '【'):
			depth++
		case brackets && (r == ')' || r == ']' || r == '〕' || r == '】'):
			depth = max(0, depth-1)
		case depth > 0, unicode.IsSpace(r), strings.ContainsRune("#_-‐・*:/()[]【】〔〕\"'", r):
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// headed returns the role that a header gives its column for sure.
func headed(header string) Role {
	for _, brackets := range [...]bool{false, true} {
		h := bare(header, brackets)
		for _, r := range Roles {
			if headers[r][h] {
				return r
			}
		}
	}
	return ""
}

// hinted returns the role that a header makes likely.
func hinted(header string) Role {
	h := bare(header, false)
	for _, p := range parts {
		if strings.Contains(h, p.word) {
			return p.role
		}
	}
	return ""
}

// plan decides how the list is to be understood.
func (s *sample) plan(open func() (Rows, error), o Reading) (*List, error) {
	if !slices.ContainsFunc(s.rows, func(r []string) bool { return !blank(r) }) {
		return nil, ErrEmpty
	}
	for role := range o.Columns {
		if !slices.Contains(Roles[:], role) {
			return nil, fmt.Errorf("column role %q: want one of %s", role, roleNames())
		}
	}
	head, first, err := s.head(o)
	if err != nil {
		return nil, err
	}
	l := &List{open: open, skip: first, roles: map[Role][]int{}}
	var names []string
	if head >= 0 {
		names = s.rows[head]
		l.Header = s.lines[head]
	}
	data := s.rows[min(first, len(s.rows)):]
	width := len(names)
	for _, r := range data {
		for i := len(r) - 1; i >= width; i-- {
			if r[i] != "" {
				width = i + 1
			}
		}
	}
	for i := range width {
		c := Column{Index: i, Number: i + 1}
		if i < len(names) {
			c.Header = strings.TrimSpace(strings.TrimLeft(names[i], "#"))
		}
		l.Columns = append(l.Columns, c)
	}
	if err := l.give(o, data); err != nil {
		return nil, err
	}
	named := slices.ContainsFunc(naming, func(r Role) bool { return len(l.roles[r]) > 0 })
	if !named {
		l.guess(data)
	}
	if !slices.ContainsFunc(naming, func(r Role) bool { return len(l.roles[r]) > 0 }) {
		if head >= 0 {
			return nil, fmt.Errorf("no column of the list holds domains, URLs or mail addresses; its columns are %s: name one with --column domain=HEADER", l.quoted())
		}
		return nil, fmt.Errorf("the list holds no domains, URLs or mail addresses (line %d is %s)", s.lines[first], quoted(strings.Join(s.rows[first], " ")))
	}
	l.call(data, o)
	l.attributes(data)
	l.plain = width == 1
	return l, nil
}

// head finds the row of the headers, -1 for none, and the first with data.
func (s *sample) head(o Reading) (head, first int, err error) {
	var wanted []string
	for _, role := range Roles {
		for _, c := range o.Columns[role] {
			if _, err := strconv.Atoi(c); err != nil {
				wanted = append(wanted, c)
			}
		}
	}
	most := min(headerRows, len(s.rows))
	if len(wanted) > 0 {
		for i, row := range s.rows[:most] {
			if !slices.ContainsFunc(wanted, func(w string) bool { return column(row, w) < 0 }) {
				return i, i + 1, nil
			}
		}
		// Say what there is: the row that looks most like headers.
		best := 0
		for i, row := range s.rows[:most] {
			if filled(row) > filled(s.rows[best]) {
				best = i
			}
		}
		missing := wanted[0]
		for _, w := range wanted {
			if column(s.rows[best], w) < 0 {
				missing = w
				break
			}
		}
		l := List{}
		for i, c := range s.rows[best] {
			l.Columns = append(l.Columns, Column{Index: i, Header: c})
		}
		return 0, 0, fmt.Errorf("no column %s in the list; its columns are %s: name one of them, or give its number from 1", quoted(missing), l.quoted())
	}
	// A row with well-known headers, below no row that is as wide.
	widest := 0
	for i, row := range s.rows[:most] {
		known := false
		data := false
		for _, c := range row {
			known = known || headed(c) != "" || hinted(c) != ""
			data = data || kind(c) != ""
		}
		if known && !data && filled(row) > widest {
			return i, i + 1, nil
		}
		widest = max(widest, filled(row))
	}
	// Else whatever stands right above the first row with a domain.
	for i, row := range s.rows[:most] {
		if !slices.ContainsFunc(row, func(c string) bool { return kind(c) != "" }) {
			continue
		}
		for above := i - 1; above >= 0; above-- {
			if f := filled(s.rows[above]); f > 0 && 2*f > filled(row) && !strings.HasPrefix(s.rows[above][0], "#") {
				return above, above + 1, nil
			}
		}
		break
	}
	for i, row := range s.rows {
		if !blank(row) {
			return -1, i, nil
		}
	}
	return -1, 0, nil
}

func filled(row []string) int {
	n := 0
	for _, c := range row {
		if c != "" {
			n++
		}
	}
	return n
}

// column finds a header among the cells of a row: as it is, or else but for
// case, width and space; -1 where it is not.
func column(row []string, header string) int {
	if i := slices.Index(row, tidy(header)); i >= 0 {
		return i
	}
	h := bare(header, false)
	if h == "" {
		return -1
	}
	return slices.IndexFunc(row, func(c string) bool { return bare(c, false) == h })
}

// give gives roles by what the caller said and by the headers.
func (l *List) give(o Reading, data [][]string) error {
	heads := make([]string, len(l.Columns))
	for i, c := range l.Columns {
		heads[i] = c.Header
	}
	given := false // the columns that name domains
	for _, role := range Roles {
		for _, c := range o.Columns[role] {
			i := -1
			if n, err := strconv.Atoi(c); err == nil {
				if n < 1 || n > len(l.Columns) {
					return fmt.Errorf("column %d: the list has %d columns", n, len(l.Columns))
				}
				i = n - 1
			} else if i = column(heads, c); i < 0 {
				return fmt.Errorf("no column %s in the list; its columns are %s", quoted(c), l.quoted())
			}
			if r := l.Columns[i].Role; r != "" && r != role {
				return fmt.Errorf("column %s: given the roles %s and %s", quoted(c), r, role)
			}
			l.assign(i, role)
			given = given || slices.Contains(naming, role)
		}
	}
	for _, sure := range [...]bool{true, false} {
		for i := range l.Columns {
			c := &l.Columns[i]
			role := headed(c.Header)
			if !sure {
				role = hinted(c.Header)
			}
			names := slices.Contains(naming, role)
			switch {
			case c.Header == "" || c.Role != "" || role == "" || role == RoleIgnore,
				len(o.Columns[role]) > 0, names && given,
				!sure && (role == RoleName || role == RoleSelector),
				role == RoleName && len(l.roles[RoleName]) > 0,
				names && !bears(data, i, sure):
				continue
			}
			l.assign(i, role)
		}
	}
	return nil
}

func (l *List) assign(i int, role Role) {
	if l.Columns[i].Role == "" {
		l.Columns[i].Role = role
		l.roles[role] = append(l.roles[role], i)
	}
}

// bears reports whether the cells of a column look like names of domains: half
// of them at least, or where the header is sure, any, or too few to tell.
func bears(data [][]string, i int, sure bool) bool {
	full, like, _ := likeness(data, i)
	if sure {
		return like > 0 || full < 5
	}
	return like > 0 && 2*like >= full
}

// likeness counts the cells of a column that say anything, and those of them
// that look like names of domains, by what they look like.
func likeness(data [][]string, i int) (full, like int, by map[Role]int) {
	by = map[Role]int{}
	for _, r := range data {
		if i >= len(r) || nothing(r[i]) {
			continue
		}
		full++
		if k := kind(r[i]); k != "" {
			like++
			by[k]++
		}
	}
	return full, like, by
}

// guess gives roles by what the cells look like.
func (l *List) guess(data [][]string) {
	for i := range l.Columns {
		full, like, by := likeness(data, i)
		if l.Columns[i].Role != "" || like == 0 || 2*like < full {
			continue
		}
		role := RoleDomain
		for _, r := range naming {
			if by[r] > by[role] {
				role = r
			}
		}
		l.assign(i, role)
	}
}

// call finds a column of names where the headers name none for sure.
func (l *List) call(data [][]string, o Reading) {
	if len(l.roles[RoleName]) > 0 || len(o.Columns[RoleName]) > 0 {
		return
	}
	if l.Header == 0 {
		for i := range l.Columns {
			if l.Columns[i].Role == "" && distinct(data, i) {
				l.assign(i, RoleName)
				return
			}
		}
		return
	}
	for _, w := range weakNames {
		for i, c := range l.Columns {
			if c.Role == "" && bare(c.Header, true) == w && distinct(data, i) {
				l.assign(i, RoleName)
				return
			}
		}
	}
}

// distinct reports whether a column's cells are words, filled in for the most
// part, of which nine in ten differ.
func distinct(data [][]string, i int) bool {
	seen := map[string]bool{}
	n, numbers := 0, 0
	for _, r := range data {
		if i >= len(r) || r[i] == "" {
			continue
		}
		n++
		seen[r[i]] = true
		if _, ok := store.ParseNumber(r[i]); ok {
			numbers++
		}
	}
	return n > 0 && 2*n >= len(data) && 10*len(seen) >= 9*n && 2*numbers < n
}

// attributes names what is left. Columns without a header and without a value
// are none.
func (l *List) attributes(data [][]string) {
	// "all" is the name of the whole in the published tables.
	used := map[string]bool{"all": true}
	for i := range l.Columns {
		c := &l.Columns[i]
		if c.Role != "" {
			continue
		}
		if c.Header == "" && !slices.ContainsFunc(data, func(r []string) bool { return i < len(r) && r[i] != "" }) {
			c.Role = RoleIgnore
			continue
		}
		name := clip(c.Header, 200)
		if name == "" {
			name = "#" + strconv.Itoa(i+1)
		}
		c.Name = name
		for n := 2; used[c.Name]; n++ {
			c.Name = fmt.Sprintf("%s (%d)", name, n)
		}
		used[c.Name] = true
		l.attrs = append(l.attrs, i)
	}
}

// quoted lists the headers, for an error.
func (l *List) quoted() string {
	var b strings.Builder
	for i, c := range l.Columns {
		if i == 30 {
			fmt.Fprintf(&b, " … (%d in all)", len(l.Columns))
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoted(c.Header))
	}
	return b.String()
}

// quoted shows a cell in an error: short, without control characters.
func quoted(s string) string { return strconv.Quote(clip(s, 60)) }

func roleNames() string {
	var names []string
	for _, r := range Roles {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}
