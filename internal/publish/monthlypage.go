package publish

import (
	"bytes"
	_ "embed"
	"html/template"
	"io"

	"sekimori/internal/locale"
)

var (
	//go:embed templates/monthly.html
	monthlyTemplate string
	//go:embed templates/monthly.css
	monthlyStyle string
)

// MonthlyPage writes the report as a file of its own, which prints on one page
// and fetches nothing from anywhere.
func MonthlyPage(w io.Writer, f MonthlyFigures, lang locale.Lang) error {
	var b bytes.Buffer
	p := paperOf(f, lang)
	b.WriteString("<!doctype html>\n<html lang=\"" + string(lang) + "\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n" +
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>" + template.HTMLEscapeString(p.Title) + "</title>\n<style>\nbody { margin: 0; }\n" + monthlyStyle + "</style>\n</head>\n<body>\n")
	if err := p.writeHTML(&b); err != nil {
		return err
	}
	b.WriteString("</body>\n</html>\n")
	_, err := w.Write(b.Bytes())
	return err
}
