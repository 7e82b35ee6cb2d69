// Package differential holds tests alone: they give generated messages, keys
// and policy records to this program and to others (OpenDKIM, OpenDMARC) and
// hold the verdicts side by side. Each kind of disagreement is a rule with a
// name, a reason and the clause that settles it; what no rule explains fails
// the test. The tables are printed with "go test -v".
//
//	go test -v ./internal/differential               20,000 cases of each kind
//	go test -v ./internal/differential -cases 2000   fewer
//	go test -v ./internal/differential -seed 7       others
package differential
