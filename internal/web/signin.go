package web

import (
	"bytes"
	"log/slog"
	"net/http"
	"time"

	"sekimori/internal/web/access"
)

// signInView is the sign-in page.
type signInView struct {
	Next, Problem string
}

// SignInPage returns what shows access's sign-in form in the look of the other
// pages, for access.Config.Page. It tells nothing of what is behind it.
func SignInPage(version string, log *slog.Logger) (func(http.ResponseWriter, *http.Request, access.SignIn), error) {
	a, err := loadAssets()
	if err != nil {
		return nil, err
	}
	ps, err := loadPages(a)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return func(w http.ResponseWriter, r *http.Request, in access.SignIn) {
		p := newPage(w, r, version)
		p.Bare, p.template, p.Title = true, "signin", p.text("web.signin.title")
		v := &signInView{Next: in.Next}
		switch {
		case in.Wait > 0:
			v.Problem = p.text("web.signin.wait", "seconds", int64((in.Wait+time.Second-1)/time.Second))
		case in.Failed:
			v.Problem = p.text("web.signin.wrong")
		}
		p.Data = v
		var b bytes.Buffer
		if err := ps.execute(&b, p); err != nil {
			log.Error("sign-in page could not be made", "err", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		w.WriteHeader(in.Status)
		w.Write(b.Bytes())
	}, nil
}
