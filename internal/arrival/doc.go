// Package arrival tests the whole gateway where it stands: the program that
// was built, behind a real Postfix, before a real Unbound and NSD, with
// messages as people and attackers send them. It has tests only.
package arrival
