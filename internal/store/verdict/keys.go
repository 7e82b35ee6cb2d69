package verdict

import (
	"net/netip"
	"strings"
)

// Entries are found by keys: the message id, the addresses and domains of
// sender and recipients, the client, the queue id, the action and the word of
// DMARC. Which block of entries has a key is one number in table find:
//
//	run      of 32,768 entries, counted from the file's first
//	hash     of the key, 31 bits
//	block    of 64 entries, within the run
//
// A search asks every run of a day for its keys (31 for 1,000,000 entries, some
// microseconds each), then reads the blocks, the newest first, and compares;
// two keys of one hash cost time, nothing else. Runs keep what is being
// written close together: one number for a key all day long would touch a page
// of its own for every key of every message.
const (
	blockBits = 6
	runBits   = 15
	hashBits  = 31
)

// Kinds of key.
const (
	keyMessageID = "m"
	keySender    = "s" // address of envelope-from or From
	keyDomain    = "d" // its domain
	keyRcpt      = "r"
	keyRcptHost  = "h" // a recipient's domain
	keyClient    = "c"
	keyQueue     = "q"
	keyAction    = "a"
	keyDMARC     = "w"
)

// hashKey hashes a key without regard to the case of ASCII letters.
func hashKey(kind, value string) uint32 {
	h := fnv(fnvStart, kind)
	for i := 0; i < len(value); i++ {
		c := value[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		h = (h ^ uint64(c)) * fnvPrime
	}
	h ^= h >> 32
	return uint32(h) & (1<<hashBits - 1)
}

func hashClient(a netip.Addr) uint32 {
	var b [20]byte
	return hashKey(keyClient, string(appendAddr(b[:0], a)))
}

// runOf is the run of an entry's number.
func runOf(number uint64) int64 { return int64(number >> runBits) }

// findKey is the number in table find.
func findKey(base int64, number uint64, hash uint32) int64 {
	return (runOf(number)-base)<<(hashBits+runBits-blockBits) | int64(hash)<<(runBits-blockBits) |
		int64(number>>blockBits)&(1<<(runBits-blockBits)-1)
}

// domainOf is what follows the last "@".
func domainOf(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[i+1:]
	}
	return ""
}

// entryKeys adds the hashes of an entry's keys.
func entryKeys(out []uint32, e *Entry) []uint32 {
	if e.MessageID != "" {
		out = append(out, hashKey(keyMessageID, e.MessageID))
	}
	if e.QueueID != "" {
		out = append(out, hashKey(keyQueue, e.QueueID))
	}
	out = addressKeys(out, keySender, keyDomain, e.MailFrom)
	if e.From != e.MailFrom {
		out = addressKeys(out, keySender, keyDomain, e.From)
	}
	for _, r := range e.Rcpt {
		out = addressKeys(out, keyRcpt, keyRcptHost, r)
	}
	if e.Client.IsValid() {
		out = append(out, hashClient(e.Client))
	}
	return append(out, hashKey(keyAction, string(e.Action)), hashKey(keyDMARC, e.DMARC))
}

func addressKeys(out []uint32, kind, host, address string) []uint32 {
	if address == "" {
		return out
	}
	out = append(out, hashKey(kind, address))
	if d := domainOf(address); d != "" {
		out = append(out, hashKey(host, d))
	}
	return out
}
