package bimi

import "testing"

func FuzzLogotype(f *testing.F) {
	f.Add([]byte("\x30\x3d\xa2\x3b\xa0\x39\x30\x37\x30\x35\x30\x33\x16\x0dimage/svg+xml\x30\x00\x30\x20\x16\x1edata:image/svg+xml;base64,AAAA"))
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		if file, err := logotype(b); err == nil {
			ReadLogo(file)
		}
	})
}
