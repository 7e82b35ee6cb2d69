// Package failure reads and writes DMARC failure reports (RFC 9991, on RFC 6591
// and RFC 5965): what a receiver tells the owner of a domain about a single
// message.
package failure
