package publish

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"sekimori/internal/locale"
)

// needFont skips a test of PDFs in a build without the fonts.
func needFont(t *testing.T) {
	t.Helper()
	if _, err := typeface(regular); errors.Is(err, ErrFont) {
		t.Skip("the front end is not built: make ui")
	}
}

func TestSheet(t *testing.T) {
	needFont(t)
	make := func() []byte {
		s, err := newSheet(pageInfo{lang: locale.Japanese, title: "試験 (1) \\", author: "市", made: time.Unix(1790000000, 0)}, margins{20, 20, 20, 20})
		if err != nil {
			t.Fatal(err)
		}
		f := face{size: 11, leading: 1.6, ink: black}
		s.block(f, 20, 170, strings.Repeat("送信ドメイン認証（SPF、DKIM）に合格しないメールは「なりすまし」と区別できません。", 12)+"𠮷野家 \u0000\u202e 👍 e\u0301 か\u3099")
		s.block(face{fixed: true, size: 10, leading: 1.5, ink: black}, 20, 170, "v=spf1 include:_spf.okuru.example -all")
		var b bytes.Buffer
		if err := s.write(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	one := make()
	if !bytes.Equal(one, make()) {
		t.Error("the same document at the same time has other octets")
	}
	if len(one) > 300<<10 || !bytes.HasPrefix(one, []byte("%PDF-1.")) || !bytes.Contains(one, []byte("/Lang (ja)")) {
		t.Errorf("%d octets, beginning %q", len(one), one[:8])
	}
}

func TestLines(t *testing.T) {
	for _, tc := range []struct {
		text string
		room float64
		want string
	}{
		{"one two three", 7, "one two|three"},
		{"送信元は「市役所」です。", 10, "送信元は|「市役所」|です。"},
		{"あいう。", 6, "あい|う。"},
		{"a\nb\n\nc", 10, "a|b||c"},
		{"mail-out.example.jp is it", 20, "mail-out.example.jp|is it"},
		{"abcdefghij", 4, "abcd|efgh|ij"},
		{"", 4, ""},
		{"end\n", 8, "end"},
		{"このシステムの設定", 16, "このシステムの|設定"},
		{"直ったことを確かめます", 14, "直ったことを|確かめます"},
		{"メール一覧表示画面", 12, "メール一覧表|示画面"},
	} {
		if got := strings.Join(Lines(tc.text, tc.room, wide), "|"); got != tc.want {
			t.Errorf("%q in %v: %q, want %q", tc.text, tc.room, got, tc.want)
		}
	}
}
