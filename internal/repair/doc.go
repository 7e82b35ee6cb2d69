// Package repair carries the work of fixing to its end. A source of ours whose
// mail fails becomes a case (store.Case): found, contacted, in repair, waiting
// for proof, done, or accepted as it is.
//
// The program opens cases, and closes one only where the reports prove that it
// is fixed: enough of its messages pass, at enough receivers, since the day
// from which on it is said to be fixed. What passes though nobody said so waits
// for proof by itself. What fails again is opened again. All
// else is decided by people, and each change is a line of the case's history,
// with who and when.
//
// A letter's facts (Letter) say to the owner of a system what is wrong, what
// exactly to change and how both sides will see that it worked: codes and
// figures, which package locale words and package publish sets.
//
// Nothing here needs the DNS: where a Resolver is given, letters tell of the
// records as they are published today.
package repair
