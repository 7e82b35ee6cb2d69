package web

import "net/http"

// workRoutes are the pages of the work of fixing.
func (s *server) workRoutes(mux *http.ServeMux) {}
