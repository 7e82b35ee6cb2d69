// Package milter speaks the mail filter protocol of Sendmail and Postfix,
// version 6: a Server for filters and a Client for tests and load.
package milter
