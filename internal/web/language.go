package web

import (
	"net/http"

	"sekimori/internal/locale"
)

// Language returns the language in which a request is answered: the one asked
// for in the address, else the one chosen before, else the browser's.
func Language(r *http.Request) locale.Lang {
	if l, ok := locale.Parse(r.URL.Query().Get("lang")); ok {
		return l
	}
	if l, ok := locale.Parse(cookie(r, "lang")); ok {
		return l
	}
	return locale.Match(r.Header.Get("Accept-Language"))
}
