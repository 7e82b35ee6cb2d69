// Package web is the dashboard: pages rendered on the server, in Japanese and
// English, for the owner of a domain and the people who decide with them, and
// for those who survey the domains of many organisations.
//
// A page answers one question, the answer first and the evidence below. It
// works without JavaScript except for drawing the charts, whose figures stand
// in a table beside them. What reports say comes from anyone, so everything is
// escaped by html/template and a Content-Security-Policy without any
// "unsafe-" stands behind it: no inline script, no inline style, no other host.
//
// A request flows through the layers of New (recovery, log, headers, same
// origin, compression) to one method per page, which reads from the narrow
// interfaces of Config, fills a view, and renders its template. The words are
// in internal/locale (web.ja.json, websurvey.ja.json, …); the script is built from ui/
// by Vite and embedded where it was built. Without that build the pages use
// the same style sheet straight from style/ and show tables in place of charts.
//
// What a survey's pages count is kept (sums) until the survey has changed, so
// that a million domains are counted once and not for every reader; lists are
// paged in the store. Bars are drawn by the server, and every figure stands
// beside its bar, with its denominator and with how many are unknown.
package web
