package taglist_test

import (
	"reflect"
	"strings"
	"testing"

	"sekimori/taglist"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]taglist.List{
		"v=1; a = b c ;":        {{"v", "1", 0}, {"a", "b c", 5}},
		"v=1":                   {{"v", "1", 0}},
		"\r\n\tv=1;\r\n\tp= ;":  {{"v", "1", 3}, {"p", "", 10}},
		"a=1=2;b==":             {{"a", "1=2", 0}, {"b", "=", 6}},
		"v=DMARC1;p=none;":      {{"v", "DMARC1", 0}, {"p", "none", 9}},
		"":                      {},
		" ":                     {},
		"i=@日本.example; d=x.jp": {{"i", "@日本.example", 0}, {"d", "x.jp", 19}},
	} {
		got, faults := taglist.Parse(in)
		if !reflect.DeepEqual(got, want) || len(faults) > 0 {
			t.Errorf("Parse(%q) = %v, %v, want %v", in, got, faults, want)
		}
	}
}

func TestFaults(t *testing.T) {
	for in, want := range map[string]taglist.Fault{
		"v=1; word; p=x": {taglist.NoEquals, "word", 5},
		"1a=b":           {taglist.BadName, "1a=b", 0},
		"=b":             {taglist.BadName, "=b", 0},
		"a b=c":          {taglist.BadName, "a b=c", 0},
		"a=b;;c=d":       {taglist.Empty, "", 4},
		";":              {taglist.Empty, "", 0},
		"a=1; a=2":       {taglist.Duplicate, "a=2", 5},
		"a=b\x00c":       {taglist.BadValue, "a=b\x00c", 0},
	} {
		_, faults := taglist.Parse(in)
		if len(faults) != 1 || faults[0] != want {
			t.Errorf("Parse(%q): faults %+v, want %+v", in, faults, want)
		}
		if len(faults) > 0 && faults[0].Error() == "" {
			t.Errorf("Parse(%q): the fault has no words", in)
		}
	}
	// Many tags: duplicates are found without comparing all with all.
	var b strings.Builder
	for range 20 {
		for c := 'a'; c <= 'z'; c++ {
			b.WriteString(string(c) + "=1;")
		}
	}
	list, faults := taglist.Parse(b.String())
	if len(list) != 520 || len(faults) != 520-26 {
		t.Errorf("%d tags and %d faults, want 520 and 494", len(list), len(faults))
	}
}

func TestUnfold(t *testing.T) {
	if got := taglist.Unfold("ab\r\n\tc d"); got != "abcd" {
		t.Errorf("Unfold = %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("v=DKIM1; k=rsa; p=MIG\r\n fMA0;")
	f.Add("v=1;;x; a=1; a=2 ;=")
	f.Fuzz(func(t *testing.T, s string) {
		list, faults := taglist.Parse(s)
		// A tag may have a bad value and be a duplicate.
		if len(list)+len(faults) > 3*(strings.Count(s, ";")+1) {
			t.Fatalf("%d tags and %d faults in %q", len(list), len(faults), s)
		}
		for _, x := range list {
			if !strings.HasPrefix(s[x.Offset:], x.Name) || x.Name == "" {
				t.Fatalf("tag %+v is not where it says", x)
			}
		}
	})
}
