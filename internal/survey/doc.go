// Package survey finds out how the mail of many organisations is protected: it
// reads a list of them, looks at each domain and at the messages they send, and
// counts.
package survey
