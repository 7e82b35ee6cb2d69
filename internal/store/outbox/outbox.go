// Package outbox keeps what has to be sent and what became of it: aggregate
// reports, each destination apart, through days of retries and restarts.
package outbox
