package store

import (
	"math"
	"testing"
)

func TestParseNumber(t *testing.T) {
	no := math.NaN()
	for in, want := range map[string]float64{
		"0": 0, "7": 7, "1234": 1234, "1,234": 1234, "12,345,678": 12345678, "3.25": 3.25, "0.5": 0.5,
		"１，２３４": 1234, "１２．５％": 12.5, "90.0%": 90, " 42 ": 42, "\u300042\u3000": 42,
		"-3": -3, "－３": -3, "−3": -3, "▲1,000": -1000, "△ 1": -1, "+5": 5,
		"1億2,000万円": 120000000, "1億2000万": 120000000, "3千万円": 30000000, "500百万円": 5e8, "5千": 5000, "2千3百": 2300,
		"1兆2億3万4": 1000200030004, "1.5億円": 1.5e8, "1万": 10000, "１万人": 10000, "2,300人": 2300, "120名": 120, "¥1,000": 1000, "￥1,000": 1000, `\1,000`: 1000,
		"1.5E+08": 1.5e8, "2E-1": 0.2, "2026年": 2026, "0万円": 0,
		"": no, "-": no, "－": no, "―": no, "東京都": no, "千円": no, "万": no, "012025": no, "00": no, "1,2": no, "12,34": no, ",123": no, "1234,567": no,
		"1.": no, ".5": no, "1.2.3": no, "1,234.5,6": no, "1e5": no, "0x10": no, "inf": no, "NaN": no, "1万2億": no, "1万万": no, "1-2": no, "10〜20": no,
		"300人以上": no, "1 2": no, "%": no, "1E+999": no, "--1": no, "5 千": no,
	} {
		got, ok := ParseNumber(in)
		if ok != !math.IsNaN(want) || ok && math.Abs(got-want) > 1e-9*math.Abs(want) {
			t.Errorf("%q: %v, %v; want %v", in, got, ok, want)
		}
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"1億2,000万円", "１２．５％", "1.5E+08", "▲3", "千", "9兆9千"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, _ := ParseNumber(s); math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("%q gives %v", s, v)
		}
	})
}
