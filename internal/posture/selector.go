package posture

// MaxSelectors is how many selectors of Options are asked.
const MaxSelectors = 20

// maxWellKnown is the room for wellKnown in the budget of questions.
const maxWellKnown = 60

// wellKnown are DKIM selectors that many domains use, the most frequent first:
// a frugal inspection stops after the batch in which a key was found.
var wellKnown = [...]string{
	"selector1", "selector2", // Microsoft 365
	"google",   // Google Workspace
	"default",  // cPanel, Plesk, and X Server and other Japanese hosters
	"s1", "s2", // SendGrid and customer systems
	"k1", "k2", "k3", // Mailchimp
	"dkim", "mail", // OpenDKIM's and Rspamd's manuals
	"rs20240101", // Sakura Internet
	"smtp", "mx", "email", "dkim1", "dkim2", "key1", "key2", "selector", "sel1", "sel2", "m1", "m2",
	"s1024", "s2048", "dkim2048", "20230601", "20240101",
	"smtpapi",              // SendGrid, before 2015
	"colorme1", "colorme2", // Color Me Shop
	"mandrill", "mailjet", "mailgun", "mg", "pm", "cm", "ml", "brevo1", "brevo2", "hs1", "hs2",
	"zendesk1", "zendesk2", "zoho", "zmail", "sig1",
	"fm1", "fm2", "fm3", // Fastmail
	"protonmail", "protonmail2", "protonmail3",
	"everlytickey1", "everlytickey2", "resend", "mimecast",
}

// noSelector is a selector that nobody uses: what answers for it answers for
// every name.
const noSelector = "wildcard-test-5f1c"
