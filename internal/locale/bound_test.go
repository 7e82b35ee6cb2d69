package locale

import "testing"

func TestBound(t *testing.T) {
	for text, want := range map[string]string{
		"206 通のうち 32 通（3.0% 以下）": "206\u00a0通のうち 32\u00a0通（3.0%\u00a0以下）",
		"SPF レコード":               "SPF レコード", "": "", "5 ": "5 ", " 5": " 5", "RSA 2048 ビット": "RSA 2048\u00a0ビット",
	} {
		if got := Japanese.Bound(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := English.Bound(text); got != text {
			t.Errorf("English: %q", got)
		}
	}
}
