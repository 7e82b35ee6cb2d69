package web

import (
	"net/http"

	"sekimori/internal/locale"
)

// Language returns the language in which a request is answered: the one asked
// for in the address, else the one chosen before, else the browser's.
func Language(r *http.Request) locale.Lang { return langOf(r) }
