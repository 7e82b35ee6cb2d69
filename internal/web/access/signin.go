package access

import (
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekimori/explain"
	"sekimori/internal/locale"
)

// mostForm bounds the body of the sign-in form, in bytes.
const mostForm = 16 << 10

func (g *Guard) showSignIn(w http.ResponseWriter, r *http.Request) {
	next := safeNext(r.URL.Query().Get("next"))
	if g.password == nil || g.sessions.valid(sessionOf(r)) {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	g.page(w, r, SignIn{Status: http.StatusOK, Next: next})
}

func (g *Guard) page(w http.ResponseWriter, r *http.Request, s SignIn) {
	w.Header().Set("Cache-Control", "no-store")
	g.c.Page(w, r, s)
}

func (g *Guard) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		refusal(w, http.StatusBadRequest, "the form cannot be read")
		return
	}
	next := safeNext(r.PostForm.Get("next"))
	if g.password == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	client := clientOf(r)
	if wait := g.attempts.take(client); wait > 0 {
		w.Header().Set("Retry-After", seconds(wait))
		g.page(w, r, SignIn{Status: http.StatusTooManyRequests, Next: next, Failed: true, Wait: wait})
		return
	}
	if !g.rightPassword(r, r.PostForm.Get("password")) {
		g.c.Logger.WarnContext(r.Context(), "sign-in refused", "client", client.String())
		g.page(w, r, SignIn{Status: http.StatusForbidden, Next: next, Failed: true})
		return
	}
	g.attempts.giveBack(client)
	g.c.Logger.InfoContext(r.Context(), "signed in", "client", client.String())
	if old := sessionOf(r); old != "" {
		g.sessions.stop(old)
	}
	http.SetCookie(w, g.cookie(r, g.sessions.start()))
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// rightPassword checks a password, few at a time since a hash costs much.
func (g *Guard) rightPassword(r *http.Request, password string) bool {
	select {
	case g.checking <- struct{}{}:
		defer func() { <-g.checking }()
	case <-r.Context().Done():
		return false
	}
	return g.password.right(password)
}

func (g *Guard) signOut(w http.ResponseWriter, r *http.Request) {
	if v := sessionOf(r); v != "" {
		g.sessions.stop(v)
	}
	http.SetCookie(w, g.cookie(r, ""))
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// safeNext keeps a path on this server; anything else becomes "/".
func safeNext(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") ||
		strings.ContainsAny(s, "\\\r\n\t") || strings.HasPrefix(u.Path, "//") || strings.HasPrefix(u.Path, "/sign-") || len(s) > 2000 {
		return "/"
	}
	return s
}

func seconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

// plain is the sign-in page of a guard that was given no other.
var plain = template.Must(template.New("sign-in").Parse(`<!doctype html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{{.Title}}</title>
<link rel="stylesheet" href="/sign-in.css">
</head>
<body>
<main>
<h1>{{.Title}}</h1>
{{with .Error}}<p role="alert" id="error">{{.}}</p>
{{end}}<form method="post" action="/sign-in">
<input type="hidden" name="next" value="{{.Next}}">
<label for="password">{{.Label}}</label>
<input type="password" id="password" name="password" autocomplete="current-password" required autofocus{{if .Error}} aria-invalid="true" aria-describedby="error"{{end}}>
<button>{{.Button}}</button>
</form>
<p lang="{{.OtherLang}}"><a href="{{.OtherURL}}" hreflang="{{.OtherLang}}">{{.OtherName}}</a></p>
</main>
</body>
</html>
`))

func (g *Guard) plainPage(w http.ResponseWriter, r *http.Request, s SignIn) {
	lang := g.c.Lang(r)
	if l, ok := locale.Parse(r.URL.Query().Get("lang")); ok {
		lang = l
	}
	other := locale.Japanese
	if lang == locale.Japanese {
		other = locale.English
	}
	data := struct {
		Lang, OtherLang                                        locale.Lang
		Title, Label, Button, Error, Next, OtherName, OtherURL string
	}{
		Lang: lang, OtherLang: other, Next: s.Next,
		Title: lang.Text("access.title", nil), Label: lang.Text("access.password", nil), Button: lang.Text("access.button", nil),
		OtherName: other.Text("access.this_language", nil), OtherURL: "/sign-in?" + url.Values{"lang": {string(other)}, "next": {s.Next}}.Encode(),
	}
	switch {
	case s.Wait > 0:
		data.Error = lang.Text("access.wait", explain.Args{"seconds": int64((s.Wait + time.Second - 1) / time.Second)})
	case s.Failed:
		data.Error = lang.Text("access.wrong", nil)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(s.Status)
	_ = plain.Execute(w, data)
}

func plainStyle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = w.Write([]byte(`:root{color-scheme:light dark}
body{margin:0;font:1rem/1.7 system-ui,sans-serif;background:Canvas;color:CanvasText}
main{max-width:22rem;margin:12vh auto;padding:0 1rem}
h1{font-size:1.5rem}
label,input,button{display:block;width:100%;box-sizing:border-box;font:inherit}
input{margin:.25rem 0 1rem;padding:.6rem .75rem;border:1px solid GrayText;border-radius:.5rem;background:Field;color:FieldText}
button{padding:.7rem;border:0;border-radius:.5rem;background:#0017c1;color:#fff;font-weight:bold;cursor:pointer}
:focus-visible{outline:4px solid #b78f00;outline-offset:2px}
[role=alert]{padding:.5rem .75rem;border-left:4px solid #ec0000;background:#fdeeee;color:#1a1a1a}
a{color:LinkText}
`))
}
