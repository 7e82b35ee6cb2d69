// Package profile measures a domain against what others require of it: a
// government's guideline, and the rules of large mailbox providers for those
// who send to their users.
//
// A profile is data, one JSON file each: items with a condition over the facts
// of package posture, whom an item is for, and the clause that it rests on. The
// sentences are in package locale, under "profile." + the profile's ID, a dot
// and the item's ID; with ".why" behind it the reason, with ".do" what to do.
//
// Much of what is required cannot be seen from outside: whether a server checks
// the mail that it receives, or how many readers complain. Such items are
// listed, and judged by nobody. Encryption between servers, which the
// government's guideline demands, is no condition of its profile: it is seen
// only where the survey was told to connect to mail servers, and everybody else
// would be unknown.
package profile
