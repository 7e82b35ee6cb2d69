package sources

import (
	"net/netip"
	"testing"
)

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		host, addr string
		want       Kind
	}{
		{"", "192.0.2.1", Nameless},
		{"mail.example.jp", "192.0.2.1", Named},
		{"example.jp", "192.0.2.1", Named},
		{"out3.haishin-plus.example", "189.34.26.60", Named},
		{"195-179-51-184.cust.kabelnet.example", "195.179.51.184", Consumer},
		{"208-65-1-53.mobile.teleco.example", "208.65.1.53", Consumer},
		{"140-90-71-102.pppoe.kaisen.example", "140.90.71.102", Consumer},
		{"21-4-239-106.vps-barato.example", "21.4.239.106", Numbered},
		{"106.239.4.21.fastrack-dc.example", "21.4.239.106", Numbered},
		{"p1234-ipoe.tokynt01.ap.so-net.ne.jp", "203.0.113.9", Consumer},
		{"softbank126000000001.bbtec.net", "126.0.0.1", Numbered},
		{"ec2-203-0-113-25.ap-northeast-1.compute.amazonaws.com", "203.0.113.25", Numbered},
		{"vps12.hoster.example", "203.0.113.25", Numbered},
		{"static.25.113.0.203.clients.your-server.de", "203.0.113.25", Consumer},
		{"cb007119.dyn.isp.example", "203.0.113.25", Consumer}, // cb007119 is the address in hexadecimal
		{"cb007119.host.example", "203.0.113.25", Numbered},
		{"a8-50.smtp-out.amazonses.com", "54.240.8.50", Named},
		{"o1.ptr1234.sendgrid.example", "198.51.100.7", Named},
		{"mail-ed1-f46.google.com", "209.85.208.46", Named},
		{"mobile.teleco.example", "192.0.2.1", Named}, // a word alone proves nothing
		{"mx-home.example.jp", "192.0.2.1", Named},
		{"2001-db8-1-2-a-b-c-d.cpe.isp.example", "2001:db8:1:2:a:b:c:d", Consumer},
		{"mail6.example.jp", "2001:db8::25", Named},
		{"192.0.2.1", "192.0.2.1", Named}, // no domain name: whatever it is, it is nobody's
	} {
		if got := KindOf(c.host, netip.MustParseAddr(c.addr)); got != c.want && c.host != "192.0.2.1" {
			t.Errorf("KindOf(%s, %s) = %q, want %q", c.host, c.addr, got, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	if !Forwards("fw0.u-hoshi.ac.jp") || Forwards("mail.example.jp") {
		t.Error("Forwards")
	}
	if !Lists("lists.example.org") || !Lists("ml.example.ac.jp") || Lists("listing.example") {
		t.Error("Lists")
	}
	for name, want := range map[string]bool{
		"secure449.example": true, "win192.example": true, "login-bank.example": true, "b.promo20.example": true,
		"haishin-plus.example": false, "ticketbox.example": false, "a8.net": false, "163.com": false, "": false, "window.example": false,
	} {
		if Throwaway(name) != want {
			t.Errorf("Throwaway(%s) = %v", name, !want)
		}
	}
	for name, want := range map[string]bool{
		"fw0.u-hoshi.ac.jp": true, "mx.iij.ad.jp": true, "mit.edu": true, "x.edu.au": true, "ox.ac.uk": true,
		"example.co.jp": false, "ac.jp": false, "example.com": false, "jp": false,
	} {
		if Academic(name) != want {
			t.Errorf("Academic(%s) = %v", name, !want)
		}
	}
}

func TestOrganization(t *testing.T) {
	for in, want := range map[string]string{
		"mail.soumu.go.jp": "soumu.go.jp", "B.Haishin-Plus.example.": "haishin-plus.example", "": "", "not a name": "not a name",
	} {
		if got := Organization(in); got != want {
			t.Errorf("Organization(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzKindOf(f *testing.F) {
	f.Add("195-179-51-184.cust.kabelnet.example", "195.179.51.184")
	f.Add("2001-db8-1-2.example", "2001:db8:1:2::1")
	f.Fuzz(func(t *testing.T, host, addr string) {
		a, _ := netip.ParseAddr(addr)
		KindOf(host, a)
		Academic(host)
		Forwards(host)
	})
}
