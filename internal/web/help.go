package web

import "net/http"

// helpView explains the words of the field.
type helpView struct{ Sections []helpSection }

type helpSection struct {
	ID, Title string
	Words     []helpWord
}

// helpWord is one word: its heading and explanation are the sentences
// web.word.ID and web.word.ID.says.
type helpWord struct{ ID, Term, Mark string }

func (s *server) help(w http.ResponseWriter, r *http.Request, p *page) error {
	p.template, p.Nav, p.IsTop = "help", "help", true
	p.Title = p.text("web.help.title")
	p.Data = helpView{[]helpSection{
		{"how", "web.help.how", []helpWord{
			{"spoofing", "", ""}, {"report", "DMARC aggregate report", ""}, {"advice", "", ""}, {"none-limit", "", ""},
		}},
		{"classes", "web.help.classes", []helpWord{
			{"aligned", "aligned", "aligned"}, {"broken", "broken", "broken"}, {"forwarder", "forwarder", "forwarder"},
			{"unknown", "unknown", "unknown"}, {"spoof", "spoof", "spoof"},
		}},
		{"policies", "web.help.policies", []helpWord{
			{"none", "p=none", ""}, {"quarantine", "p=quarantine", ""}, {"reject", "p=reject", ""}, {"ladder", "", ""}, {"at-risk", "", ""}, {"upper95", "95 % upper bound", ""},
			{"indirect", "indirect mail", ""}, {"coverage", "", ""}, {"rehearsal", "t=y, RFC 9989", ""}, {"step-back", "", ""},
		}},
		{"work", "web.help.work", []helpWord{
			{"case", "", ""}, {"case-states", "", ""}, {"wave", "", ""}, {"inventory", "", ""}, {"department", "", ""},
		}},
		{"survey", "web.help.survey", []helpWord{
			{"protected", "", ""}, {"interval", "95 % interval, Wilson", ""}, {"unknown-state", "unknown", "unknown"}, {"profile", "", ""}, {"recorded", "Authentication-Results, RFC 8601", ""},
		}},
		{"terms", "web.help.terms", []helpWord{
			{"spf", "SPF, RFC 7208", ""}, {"dkim", "DKIM, RFC 6376", ""}, {"dmarc", "DMARC, RFC 9989", ""}, {"alignment", "identifier alignment", ""},
			{"header-from", "Header From", ""}, {"envelope-from", "Envelope From", ""}, {"ptr", "PTR", ""}, {"source", "", ""},
			{"reporter", "", ""}, {"override", "policy override reason", ""}, {"deviation", "", ""}, {"kept", "quarantine folder", ""}, {"utc", "UTC", ""},
		}},
	}}
	return nil
}
