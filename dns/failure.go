package dns

import "strconv"

// Failure is the error of a question: what was asked, and why there are no
// records. Err wraps one of ErrNameNotFound, ErrNoData and ErrTemporary. Its
// words are made when they are read, for most errors of lookups never are.
type Failure struct {
	Name string // as asked; from outside, it may hold any octets
	Type Type
	Err  error
}

// Error says what was asked and what came of it. A name that could not be
// printed as it is, is quoted.
func (f *Failure) Error() string {
	const most = 256
	name := f.Name
	if len(name) > most {
		name = name[:most] + "…"
	}
	for i := 0; i < len(name); i++ {
		if name[i] <= ' ' || name[i] >= 0x7f {
			name = strconv.QuoteToASCII(name)
			break
		}
	}
	return name + " " + string(f.Type) + ": " + f.Err.Error()
}

func (f *Failure) Unwrap() error { return f.Err }

// Bogus reports whether the server says that validation with DNSSEC failed
// (RFC 8914 §4.7 to §4.13).
func (e ExtendedError) Bogus() bool { return 6 <= e.Code && e.Code <= 12 }
