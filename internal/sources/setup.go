package sources

// setupCodes are what a customer may have to change at a vendor or in the DNS,
// by their words in the catalogue.
var setupCodes = map[string]string{
	// SPF and the envelope.
	"add-include":        "setup.add-include",        // add the vendor's include to the SPF record
	"include-subdomain":  "setup.include-subdomain",  // the same, in the record of a sub-domain of one's own that bounces go to
	"own-return-path":    "setup.own-return-path",    // bounces to a sub-domain of one's own: CNAME
	"own-return-path-mx": "setup.own-return-path-mx", // the same, with MX and TXT records
	// DKIM.
	"dkim-switch":       "setup.dkim-switch",       // switch signing on for the domain in the settings, publish the key shown
	"dkim-cname":        "setup.dkim-cname",        // publish the CNAMEs that are shown
	"dkim-txt":          "setup.dkim-txt",          // publish the TXT record that is shown
	"dkim-auto":         "setup.dkim-auto",         // signs by itself where the vendor also runs the domain's DNS
	"dkim-ask":          "setup.dkim-ask",          // ask the vendor for a key of one's own
	"dkim-option":       "setup.dkim-option",       // only in some contracts, or as an option
	"dkim-upload":       "setup.dkim-upload",       // make a key, publish it, hand the private half over
	"domain-assistant":  "setup.domain-assistant",  // the vendor's assistant shows all records for SPF and DKIM
	"verify-from":       "setup.verify-from",       // confirm the author's domain in the settings
	"own-smtp":          "setup.own-smtp",          // let it send through a mail server of one's own
	"vendor-from":       "setup.vendor-from",       // not possible: write as the vendor's domain, answers to one's own
	"no-own-domain":     "setup.no-own-domain",     // a private mailbox: send through the organisation's own server instead
	"submission":        "setup.submission",        // send through the provider's submission server, signed in
	"sign-at-origin":    "setup.sign-at-origin",    // a forwarder: sign before it
	"list-munge":        "setup.list-munge",        // a list: rewrite From where the policy asks for it
	"list-unchanged":    "setup.list-unchanged",    // a list: leave subject and body as they are
	"sign-outbound":     "setup.sign-outbound",     // a gateway on the way out: sign there, or behind it change nothing
	"own-server-spf":    "setup.own-server-spf",    // a server of one's own: its address in the SPF record
	"own-server-dkim":   "setup.own-server-dkim",   // sign on it, or hand its mail to a server that signs
	"dedicated-address": "setup.dedicated-address", // rented server: name its own address, not the hoster's include
}
