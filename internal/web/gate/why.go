package gate

import (
	"log/slog"
	"net/http"
)

// Why returns the public page at /why.
func Why(version string, log *slog.Logger) (http.Handler, error) {
	return http.NotFoundHandler(), nil
}
