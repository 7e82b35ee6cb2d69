package publish

// Format is the form that a letter or a report is written in.
type Format string

const (
	Text Format = "text" // plain, at most 80 columns but for records, which stay whole
	Mail Format = "mail" // a message that a mail program opens as a draft (RFC 5322)
	PDF  Format = "pdf"  // A4
	HTML Format = "html" // a piece of a page, without html and body
)
