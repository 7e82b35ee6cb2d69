package web

import "net/http"

// shareRoutes are the pages that a department's link opens.
func (s *server) shareRoutes(mux *http.ServeMux) {}

// sharedFrame is what the layout shows around a department's own part.
type sharedFrame struct{}
