package sources

import "testing"

func TestImitates(t *testing.T) {
	for _, c := range []struct {
		name, ours string
		want       bool
	}{
		{"n10-patlent.com", "n10-patient.co.jp", true}, // l for i
		{"mail.n10-patient.com", "n10-patient.co.jp", true},
		{"n10-patients.com", "n10-patient.co.jp", true},
		{"n10patient.com", "n10-patient.co.jp", true},
		{"n10-patient-login.com", "n10-patient.co.jp", true},
		{"n10-aptient.com", "n10-patient.co.jp", true}, // swapped
		{"n10-patient.co.jp", "www.n10-patient.co.jp", false},
		{"sub.city.kakuu.lg.jp", "city.kakuu.lg.jp", false},
		{"rnaruya.example", "maruya.example", true},
		{"maruyа.example", "maruya.example", true}, // the last letter is Cyrillic
		{"xn--maruy-8ve.example", "maruya.example", true},
		{"tanaka.example", "tanabe.example", false},
		{"okuru.example", "osaka.example", false},
		{"abc.com", "abd.com", false}, // short: like many
		{"abc.com", "abc.jp", false},
		{"abcd.com", "abcd.jp", true},
		{"sendgrid.net", "city.example", false},
		{"haishin-plus.example", "kakuu-shoji.co.jp", false},
		{"", "city.example", false}, {"x", "", false}, {"..", "a..b", false},
	} {
		if got := Imitates(c.name, c.ours); got != c.want {
			t.Errorf("Imitates(%s, %s) = %v (%q, %q)", c.name, c.ours, got, registered(Organization(c.name)), registered(Organization(c.ours)))
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"ab", "ab", 0}, {"ab", "ba", 1}, {"abc", "ab", 1}, {"abc", "xbz", 2}, {"abcdef", "uvwxyz", 3}, {"a", "abcdef", 3}} {
		if got := distance([]rune(c.a), []rune(c.b), 2); got != c.want {
			t.Errorf("distance(%s, %s) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func FuzzImitates(f *testing.F) {
	f.Add("n10-patlent.com", "n10-patient.co.jp")
	f.Add("xn--80ak6aa92e.com", "apple.com")
	f.Fuzz(func(t *testing.T, a, b string) {
		if Imitates(a, a) {
			t.Fatal("a name imitates itself")
		}
		Imitates(a, b)
	})
}
