// Package reporter tells domain owners what came in their names: a daily
// aggregate report (RFC 9990) and, where the site wants it, failure reports
// (RFC 9991).
package reporter
