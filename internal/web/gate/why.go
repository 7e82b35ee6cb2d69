package gate

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"

	"sekimori/domain"
	"sekimori/explain"
	"sekimori/internal/gateway"
	"sekimori/internal/locale"
)

//go:embed templates/why.html style/why.css
var own embed.FS

// article is what the page says about one kind of refusal: codes.
type article struct {
	Title, Lead string
	You         []string // for who sent the mail
	NotYou      string   // for who did not; "" where that makes no sense
	Admin       string   // the heading for the sender's administrator; "" where there is nothing to do
	ToDo        []string
	Records     bool   // name the records of the domain
	Ref         string // the clause behind it
}

// articles are the pages by what decided, as links in SMTP replies have it. The
// empty one is for who comes without.
var articles = map[gateway.Because]article{
	gateway.ByPolicy: {
		Title: "gate.policy.title", Lead: "gate.policy.lead",
		You:    []string{"gate.policy.you-service", "gate.policy.you-forwarded", "gate.you-tell"},
		NotYou: "gate.not-you.text",
		Admin:  "gate.admin.title", ToDo: []string{"gate.policy.admin-one", "gate.policy.admin-spf", "gate.policy.admin-dkim", "gate.policy.admin-reports"},
		Records: true, Ref: "RFC 9989, RFC 7208, RFC 6376",
	},
	gateway.ByFrom: {
		Title: "gate.from.title", Lead: "gate.from.lead",
		You:   []string{"gate.from.you-program", "gate.you-tell"},
		Admin: "gate.admin.title", ToDo: []string{"gate.from.admin-one", "gate.from.admin-form"},
		Ref: "RFC 5322 §3.6.2, RFC 9989 §5.3.1",
	},
	gateway.ByTrouble: {
		Title: "gate.trouble.title", Lead: "gate.trouble.lead",
		You:   []string{"gate.trouble.you-wait", "gate.trouble.you-long"},
		Admin: "gate.admin.title", ToDo: []string{"gate.trouble.admin-servers", "gate.trouble.admin-signed"},
		Records: true, Ref: "RFC 9989 §5.3.6",
	},
	gateway.ByRule: {
		Title: "gate.rule.title", Lead: "gate.rule.lead",
		You: []string{"gate.rule.you"},
	},
	gateway.Nothing: {
		Title: "gate.any.title", Lead: "gate.any.lead",
		You:    []string{"gate.policy.you-service", "gate.policy.you-forwarded", "gate.you-tell"},
		NotYou: "gate.not-you.text",
		Admin:  "gate.admin.title", ToDo: []string{"gate.policy.admin-one", "gate.policy.admin-spf", "gate.policy.admin-dkim", "gate.policy.admin-reports"},
		Records: true, Ref: "RFC 9989, RFC 7208, RFC 6376",
	},
}

// why is the public page.
type why struct {
	pages  map[locale.Lang]*template.Template
	policy string // Content-Security-Policy
	log    *slog.Logger
}

// Why returns the public page at /why: the query's c says what decided, and d
// in whose name the mail came. Anybody may have written both, so that c selects
// one of our texts and d is shown only where it is a domain name. The page is
// one file without scripts, so that any web server can pass it on. log may be
// nil.
func Why(log *slog.Logger) (http.Handler, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	style, err := own.ReadFile("style/why.css")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(style)
	y := &why{pages: map[locale.Lang]*template.Template{}, log: log,
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"}
	for _, l := range locale.Langs {
		t := template.New("why.html").Funcs(template.FuncMap{
			"t":     func(code string) string { return l.Text(code, nil) },
			"style": func() template.CSS { return template.CSS(style) },
		})
		if y.pages[l], err = t.ParseFS(own, "templates/why.html"); err != nil {
			return nil, err
		}
	}
	return y, nil
}

// view is what the template shows.
type view struct {
	article
	Lang      locale.Lang
	Languages []language
	Domain    string // in letters, and as an A-label where that differs; "" where none is known
	Name      string // as an A-label
	args      explain.Args
}

type language struct {
	Lang      locale.Lang
	Name, URL string
}

// Text is the sentence of a code, with the domain in it.
func (v *view) Text(code string) string { return v.Lang.Text(code, v.args) }

func (y *why) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := &view{Lang: pageLanguage(r)}
	kept := url.Values{} // of the query, in links to this page
	c := gateway.Because(q.Get("c"))
	a, known := articles[c]
	if !known {
		a = articles[gateway.Nothing]
	} else if c != gateway.Nothing {
		kept.Set("c", string(c))
	}
	v.article = a
	v.args = explain.Args{"domain": v.Lang.Text("gate.some-domain", nil)}
	if d := q.Get("d"); len(d) <= 1024 {
		if name, err := domain.Parse(d); err == nil {
			kept.Set("d", name.String())
			v.Name, v.Domain = name.String(), name.Unicode()
			v.args = explain.Args{"domain": v.Domain}
			if v.Name != v.Domain {
				// Letters of other scripts can look like those of a well-known name.
				v.args = explain.Args{"domain": v.Domain + " (" + v.Name + ")"}
			}
		}
	}
	for _, l := range locale.Langs {
		kept.Set("lang", string(l))
		v.Languages = append(v.Languages, language{l, map[locale.Lang]string{locale.Japanese: "日本語", locale.English: "English"}[l], "?" + kept.Encode()})
	}
	var b bytes.Buffer
	if err := y.pages[v.Lang].Execute(&b, v); err != nil {
		y.log.Error("page could not be made", "path", r.URL.Path, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(v.Lang))
	h.Set("Content-Security-Policy", y.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Add("Vary", "Accept-Language")
	if r.Method != http.MethodHead {
		w.Write(b.Bytes())
	}
}

// pageLanguage is the language asked for in the address, else the browser's.
func pageLanguage(r *http.Request) locale.Lang {
	if l, ok := locale.Parse(r.URL.Query().Get("lang")); ok {
		return l
	}
	return locale.Match(r.Header.Get("Accept-Language"))
}
