package survey

import (
	"net/netip"
	"strings"
	"unicode"

	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"

	"sekimori/domain"
)

// tidy takes off what is invisible: space at the ends, of any kind, and marks
// without width anywhere; runs of space become one.
func tidy(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	gap := false
	for _, r := range s {
		switch {
		case r == '\u200b' || r == '\u2060' || r == '\ufeff' || r == '\u00ad' || r == 0:
		case unicode.IsSpace(r) || unicode.IsControl(r):
			gap = b.Len() > 0
		default:
			if gap {
				b.WriteByte(' ')
				gap = false
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// nothing reports whether a cell says that there is nothing to say.
func nothing(s string) bool {
	switch strings.ToLower(norm.NFKC.String(s)) {
	case "", "-", "--", "---", "―", "—", "–", "ー", "‐", "−", "n/a", "na", "#n/a", "none", "null", "nil", "no", "not available", "unknown", "tbd", "?", "/",
		"なし", "無し", "無", "ない", "無い", "未設定", "未登録", "未定", "不明", "該当なし", "非公開", "*", "x", "×", "なし。", "(なし)", ".", "〃", "同上":
		return true
	}
	return false
}

// fault is what is wrong with a cell.
type fault struct{ code, detail, input string }

// separators part the names in a cell.
func separates(r rune) bool {
	switch r {
	case ',', ';', '、', '，', '；', '|', '<', '>', '"', '\'', '「', '」', '『', '』', '【', '】', '“', '”', '‘', '’', '(', ')', '（', '）', '《', '》', '〈', '〉', '{', '}':
		return true
	}
	return unicode.IsSpace(r) || unicode.IsControl(r)
}

// domainsIn reads the domains that a cell of a role names, in their order, in
// A-labels, each once. The fault is about the first name that could not be
// used, if there is one.
func domainsIn(cell string, role Role) ([]string, *fault) {
	cell = tidy(cell)
	if nothing(cell) {
		return nil, nil
	}
	var out []string
	var first *fault
	named := false
	text := strings.ReplaceAll(norm.NFKC.String(cell), "。", ".")
	for _, token := range strings.FieldsFunc(text, separates) {
		if len(out) > 4*maxAliases {
			break
		}
		if nothing(token) || strings.IndexFunc(token, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) < 0 {
			continue
		}
		names, f := readName(token, role)
		if f != nil {
			// Words beside a name, such as a remark or the name of a person, are
			// not names that went wrong.
			if first == nil || first.code == codeNotAName && f.code != codeNotAName {
				first = f
			}
			continue
		}
		named = true
		for _, n := range names {
			known := false
			for _, o := range out {
				known = known || o == n
			}
			if !known {
				out = append(out, n)
			}
		}
	}
	if named && first != nil && first.code == codeNotAName && !strings.ContainsAny(first.detail, ".@") {
		first = nil
	}
	if !named && first != nil && first.code == codeNotAName {
		first.detail = cell
	}
	return out, first
}

// readName reads one name: a domain, a mail address or a URL, whatever the role
// promises. It gives the domain to measure first, and then other names of the
// same organisation that it implies.
func readName(token string, role Role) ([]string, *fault) {
	s := strings.Trim(token, ".:!?*&=+~^`\\")
	lower := strings.ToLower(s)
	if rest, ok := strings.CutPrefix(lower, "mailto:"); ok {
		role = RoleMail
		lower, _, _ = strings.Cut(rest, "?")
	}
	host, scheme, isURL := lower, "", false
	if i := strings.Index(lower, ":/"); i > 0 {
		scheme, host, isURL = lower[:i], strings.TrimLeft(lower[i+1:], "/"), true
		if strings.ContainsAny(scheme, ".@/") { // "example.jp:/": no scheme at all
			scheme, host, isURL = "", lower, false
		}
	} else if i := strings.Index(lower, "//"); i >= 0 && i <= 6 {
		host, isURL = lower[i+2:], true // "//example.jp", "http//example.jp"
	}
	address := false
	if isURL || !strings.Contains(host, "@") || strings.ContainsAny(beforeAt(host), "/?#") {
		host = cutAny(host, "/?#\\")
		if i := strings.LastIndexByte(host, '@'); i >= 0 { // user information
			host = host[i+1:]
		}
	} else {
		host, address = host[strings.LastIndexByte(host, '@')+1:], true
		host = cutAny(host, "/?#\\>")
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && digits(host[i+1:]) {
		host = host[:i]
	}
	host = strings.Trim(strings.TrimPrefix(host, "*."), ".")
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return nil, &fault{code: codeAddress, detail: ip.String()}
	}
	n, err := domain.Parse(host)
	if err != nil {
		return nil, &fault{code: codeNotAName, detail: token}
	}
	if of := ownerOf(n.String()); of != "" {
		if n, err = domain.Parse(of); err != nil {
			return nil, &fault{code: codeNotAName, detail: token}
		}
	}
	if n.Labels() < 2 {
		if suffix, known := publicsuffix.PublicSuffix(n.String()); known && suffix == n.String() {
			return nil, &fault{code: codeSuffix, detail: n.String()}
		}
		return nil, &fault{code: codeNotAName, detail: token}
	}
	if top := n.String()[strings.LastIndexByte(n.String(), '.')+1:]; digits(top) {
		return nil, &fault{code: codeNotAName, detail: token}
	}
	_, listed := publicsuffix.PublicSuffix(n.String())
	if listed && n.IsPublicSuffix() {
		return nil, &fault{code: codeSuffix, detail: n.String()}
	}
	switch {
	case address:
		if freeMail[n.String()] {
			return nil, &fault{code: codeFreeMail, detail: n.String()}
		}
		return []string{n.String()}, nil
	case isURL || role == RoleURL:
		org := n.Organizational()
		if sharedSites[org.String()] || sharedSites[n.String()] {
			return nil, &fault{code: codeShared, detail: n.String()}
		}
		if body := localBody(n, org); !body.IsZero() {
			return []string{body.String()}, nil
		}
		return []string{org.String()}, nil
	}
	// Nobody sends mail as the host of a web site.
	if rest, ok := strings.CutPrefix(n.String(), "www."); ok {
		if bare, err := domain.Parse(rest); err == nil && !bare.IsPublicSuffix() {
			return []string{bare.String(), n.String()}, nil
		}
	}
	return []string{n.String()}, nil
}

// localBody is the domain of the city, town, village or prefecture whose web
// site is a host in lg.jp, where they keep the form of their older names: the
// mail of www.city.otaru.lg.jp comes from city.otaru.lg.jp, and otaru.lg.jp is
// nobody's. The zero Name for any other host.
func localBody(host, org domain.Name) domain.Name {
	if !strings.HasSuffix(org.String(), ".lg.jp") {
		return domain.Name{}
	}
	for n := host; n != org && !n.IsZero(); n = n.Parent() {
		if n.Parent() != org {
			continue
		}
		switch label, _, _ := strings.Cut(n.String(), "."); label {
		case "city", "town", "vill", "pref", "metro":
			return n
		}
	}
	return domain.Name{}
}

func beforeAt(s string) string {
	s, _, _ = strings.Cut(s, "@")
	return s
}

func cutAny(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || '9' < s[i] {
			return false
		}
	}
	return true
}

// ownerOf is the domain whose record stands at a name, where the name says that
// it is that of a record; empty elsewhere.
func ownerOf(name string) string {
	for _, label := range [...]string{"_domainkey.", "_dmarc.", "_mta-sts.", "_smtp._tls.", "_bimi."} {
		if i := strings.Index(name, label); i == 0 || i > 0 && name[i-1] == '.' {
			return name[i+len(label):]
		}
	}
	return ""
}

// selectorsIn reads DKIM selectors, and returns the first that is none.
func selectorsIn(cell string) (selectors []string, wrong string) {
	cell = tidy(cell)
	if nothing(cell) {
		return nil, ""
	}
	for _, token := range strings.FieldsFunc(strings.ToLower(norm.NFKC.String(cell)), separates) {
		if i := strings.Index(token, "._domainkey"); i > 0 {
			token = token[:i]
		}
		n, err := domain.Parse(strings.Trim(token, "."))
		switch {
		case nothing(token):
		case err != nil:
			if wrong == "" {
				wrong = token
			}
		case len(selectors) < 4*maxGiven:
			selectors = append(selectors, n.String())
		}
	}
	return selectors, wrong
}

// kind says what a cell looks like: a URL, a mail address, a domain, or "" for
// none of them.
func kind(cell string) Role {
	cell = tidy(cell)
	if nothing(cell) || !strings.ContainsAny(cell, ".．。") || len(cell) > 2048 {
		return ""
	}
	found, f := domainsIn(cell, RoleDomain)
	switch {
	case f != nil && f.code != codeFreeMail && f.code != codeShared, f == nil && len(found) == 0:
		return ""
	case f == nil && !topLevel(found[0]):
		return ""
	}
	text := strings.ToLower(norm.NFKC.String(cell))
	switch {
	case strings.Contains(text, "://"):
		return RoleURL
	case strings.Contains(text, "@"):
		return RoleMail
	case strings.ContainsAny(text, "/") || strings.HasPrefix(text, "www."):
		return RoleURL
	}
	return RoleDomain
}

// topLevel reports whether a name ends in letters, as all top-level domains do
// (RFC 1123 §2.1): "3.5" and "v1.2" do not.
func topLevel(name string) bool {
	top := name[strings.LastIndexByte(name, '.')+1:]
	if len(top) < 2 {
		return false
	}
	for i := 0; i < len(top); i++ {
		if c := top[i]; (c < 'a' || 'z' < c) && !strings.HasPrefix(top, "xn--") {
			return false
		}
	}
	return true
}
