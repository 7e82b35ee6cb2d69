package sources

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gaissmai/bart"
	"github.com/oschwald/maxminddb-golang/v2"
)

// Network is what is known about the network that an address is in.
type Network struct {
	Organisation string       // who runs it; "" for not known
	Country      string       // ISO 3166-1 alpha-2, upper case; "" for not known
	Prefix       netip.Prefix // the most particular one that a file has
	ASN          uint32       // of the autonomous system; 0 for not known
}

// Networks tells networks by address, from files that the operator has. It is
// safe for concurrent use until Close. A nil Networks knows nothing.
type Networks struct {
	tables    []*prefixTable
	databases []database
}

type database struct {
	path string
	*maxminddb.Reader
}

// Limits of a prefix table.
const (
	maxTableLines = 4_000_000
	maxTableLine  = 4096 // octets
	maxNetworks   = 1_000_000
)

// OpenNetworks opens files about networks. A file in MaxMind's form (.mmdb) is
// mapped into memory, not read: what has an organisation (GeoLite2 ASN, ISP and
// the like) or a country is of use. Any other file is a prefix table: lines of
//
//	prefix,organisation[,country]
//
// where "#" begins a comment and values may be quoted; it takes some 30 octets of
// memory a line, its text once for all lines that say the same, and may have
// 4,000,000 lines. Where several files know an
// address, each gives what those before it lack. Close gives the files free.
func OpenNetworks(paths ...string) (*Networks, error) {
	n := &Networks{}
	for _, p := range paths {
		if err := n.open(p); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

// mmdbMark stands before the metadata at the end of a file in MaxMind's form.
const mmdbMark = "\xab\xcd\xefMaxMind.com"

func (n *Networks) open(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("networks: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("networks: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("networks: %s is no file: name a .mmdb file or a prefix table", path)
	}
	marked, err := endsAsDatabase(f, info.Size())
	if err != nil {
		return fmt.Errorf("networks: %s: %w", path, err)
	}
	if !marked {
		if strings.HasSuffix(strings.ToLower(path), ".mmdb") {
			return fmt.Errorf("networks: %s is called .mmdb but is not in that form, or was cut off: download it anew", path)
		}
		t, err := parsePrefixTable(path, f)
		if err != nil {
			return err
		}
		n.tables = append(n.tables, t)
		return nil
	}
	db, err := maxminddb.Open(path)
	if err != nil {
		return fmt.Errorf("networks: %s: %w", path, err)
	}
	n.databases = append(n.databases, database{path, db})
	return nil
}

// endsAsDatabase looks for the mark in the last 128 KiB, where the form has it.
func endsAsDatabase(f io.ReaderAt, size int64) (bool, error) {
	tail := make([]byte, min(size, 128<<10))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return false, err
	}
	return strings.Contains(string(tail), mmdbMark), nil
}

// Close gives the files free. The Networks is not used afterwards.
func (n *Networks) Close() error {
	if n == nil {
		return nil
	}
	var errs []error
	for _, d := range n.databases {
		errs = append(errs, d.Close())
	}
	n.databases, n.tables = nil, nil
	return errors.Join(errs...)
}

// mmdbRecord is what the usual databases say of a network.
type mmdbRecord struct {
	ASN          uint32 `maxminddb:"autonomous_system_number"`
	Organisation string `maxminddb:"autonomous_system_organization"`
	Org          string `maxminddb:"organization"` // GeoIP2 ISP
	ISP          string `maxminddb:"isp"`
	Country      struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Registered struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"registered_country"`
	// Flat forms of others, such as IPinfo's and iptoasn's.
	ASName      string `maxminddb:"as_name"`
	Name        string `maxminddb:"name"`
	CountryCode string `maxminddb:"country_code"`
}

// Lookup returns what is known about the network of an address. It takes about
// a microsecond. Texts are at most 200 octets without control characters.
func (n *Networks) Lookup(a netip.Addr) (Network, bool) {
	if n == nil || !a.IsValid() {
		return Network{}, false
	}
	a = a.Unmap().WithZone("")
	var out Network
	for _, t := range n.tables {
		if e, ok := t.lookup(a); ok {
			out.take(e)
		}
	}
	for _, d := range n.databases {
		if out.Organisation != "" && out.Country != "" && out.ASN != 0 {
			break
		}
		r := d.Lookup(a)
		if !r.Found() {
			continue
		}
		var rec mmdbRecord
		if err := r.Decode(&rec); err != nil {
			continue // of another form: it knows nothing for us
		}
		out.take(Network{Organisation: tidy(first(rec.Organisation, rec.Org, rec.ISP, rec.ASName, rec.Name)), ASN: rec.ASN,
			Country: country(first(rec.Country.Code, rec.CountryCode, rec.Registered.Code)), Prefix: r.Prefix()})
	}
	return out, out.Organisation != "" || out.Country != "" || out.ASN != 0
}

// take fills in what is not known yet.
func (n *Network) take(e Network) {
	if n.Organisation == "" {
		n.Organisation = e.Organisation
	}
	if n.Country == "" {
		n.Country = e.Country
	}
	if n.ASN == 0 {
		n.ASN = e.ASN
	}
	if !n.Prefix.IsValid() || e.Prefix.IsValid() && e.Prefix.Bits() > n.Prefix.Bits() {
		n.Prefix = e.Prefix
	}
}

func first(s ...string) string {
	for _, t := range s {
		if t != "" {
			return t
		}
	}
	return ""
}

// tidy makes a text of a file fit to be shown.
func tidy(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		plain = plain && ' ' <= s[i] && s[i] < 0x7f
	}
	if !plain {
		s = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError {
				return -1
			}
			return r
		}, s)
	}
	s = strings.TrimSpace(s)
	for len(s) > 200 {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// country takes two letters.
func country(s string) string {
	if len(s) != 2 {
		return ""
	}
	s = strings.ToUpper(s)
	if s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return ""
	}
	return s
}

// prefixTable is a prefix table in memory. Lines that say the same share one
// entry.
type prefixTable struct {
	table bart.Table[uint32] // index in said
	said  []Network
}

func (t *prefixTable) lookup(a netip.Addr) (Network, bool) {
	p, i, ok := t.table.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
	if !ok {
		return Network{}, false
	}
	n := t.said[i]
	n.Prefix = p
	return n, true
}

// parsePrefixTable reads a prefix table, as OpenNetworks describes it. The name
// stands in errors, with the line. Of a prefix that is there twice the later
// line holds. A head line ("prefix,organisation") is passed over.
func parsePrefixTable(name string, r io.Reader) (*prefixTable, error) {
	t := &prefixTable{}
	known := map[Network]uint32{}
	in := bufio.NewReaderSize(r, maxTableLine)
	for line := 1; ; line++ {
		text, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("%s:%d: longer than %d octets: want prefix,organisation[,country]", name, line, maxTableLine)
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("networks: %s: %w", name, err)
		}
		if line > maxTableLines {
			return nil, fmt.Errorf("%s:%d: more than %d lines: use a .mmdb file", name, line, maxTableLines)
		}
		last := err == io.EOF
		if !utf8.Valid(text) {
			return nil, fmt.Errorf("%s:%d: not in UTF-8: save the file in UTF-8, not in Shift_JIS or EUC-JP", name, line)
		}
		s := strings.TrimSpace(strings.TrimPrefix(string(text), "\ufeff"))
		if s != "" && s[0] != '#' {
			p, n, perr := parseTableLine(s)
			switch {
			case perr != nil && len(t.said) == 0 && line == 1: // the head
			case perr != nil:
				return nil, fmt.Errorf("%s:%d: %w", name, line, perr)
			default:
				i, ok := known[n]
				if !ok {
					if len(t.said) >= maxNetworks {
						return nil, fmt.Errorf("%s:%d: more than %d different networks: use a .mmdb file", name, line, maxNetworks)
					}
					i = uint32(len(t.said))
					known[n] = i
					t.said = append(t.said, n)
				}
				t.table.Insert(p, i)
			}
		}
		if last {
			return t, nil
		}
	}
}

func parseTableLine(s string) (netip.Prefix, Network, error) {
	fields, err := splitCSV(s)
	if err != nil {
		return netip.Prefix{}, Network{}, err
	}
	if len(fields) < 2 || len(fields) > 3 {
		return netip.Prefix{}, Network{}, fmt.Errorf("%d values: want prefix,organisation[,country]", len(fields))
	}
	p, err := parsePrefix(fields[0])
	if err != nil {
		return netip.Prefix{}, Network{}, err
	}
	n := Network{Organisation: tidy(fields[1])}
	if asn, rest, ok := strings.Cut(n.Organisation, " "); ok && len(asn) > 2 && strings.EqualFold(asn[:2], "AS") {
		// "AS64500 Example Networks", as many tables write it.
		if v, err := strconv.ParseUint(asn[2:], 10, 32); err == nil {
			n.ASN, n.Organisation = uint32(v), strings.TrimSpace(rest)
		}
	}
	if len(fields) == 3 && strings.TrimSpace(fields[2]) != "" {
		if n.Country = country(strings.TrimSpace(fields[2])); n.Country == "" {
			return p, n, fmt.Errorf("country %q: want two letters (ISO 3166-1), such as JP", cut(fields[2]))
		}
	}
	if n.Organisation == "" && n.Country == "" {
		return p, n, errors.New("neither an organisation nor a country")
	}
	return p, n, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("prefix %q has a zone", cut(s))
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("prefix %q: want one such as 192.0.2.0/24", cut(s))
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("prefix %q: write IPv4 prefixes such as 192.0.2.0/24", cut(s))
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// splitCSV takes a line apart at commas; values may be in double quotes, in
// which two stand for one (RFC 4180 §2). At most five values are told apart.
func splitCSV(s string) ([]string, error) {
	var out []string
	for {
		if len(out) == 5 {
			return out, nil
		}
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, `"`) {
			v, rest, more := strings.Cut(s, ",")
			out = append(out, strings.TrimSpace(v))
			if !more {
				return out, nil
			}
			s = rest
			continue
		}
		var b strings.Builder
		s = s[1:]
		for {
			i := strings.IndexByte(s, '"')
			if i < 0 {
				return nil, errors.New("a quoted value does not end")
			}
			b.WriteString(s[:i])
			if s = s[i+1:]; !strings.HasPrefix(s, `"`) {
				break
			}
			b.WriteByte('"')
			s = s[1:]
		}
		out = append(out, b.String())
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			return out, nil
		}
		if s[0] != ',' {
			return nil, errors.New("something follows a quoted value: want a comma")
		}
		s = s[1:]
	}
}
