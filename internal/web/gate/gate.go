// Package gate is what the gateway shows over HTTP: metrics, health, and the
// public page that tells the sender of refused mail what happened. It is small:
// the gateway's process loads nothing of the dashboard for it.
package gate
