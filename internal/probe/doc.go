// Package probe looks at a domain's hosts from outside, beyond the DNS: it
// fetches what records point to by HTTPS, and sees what its mail exchangers
// offer by SMTP. What a time-out hid is told apart from what is certain.
package probe
