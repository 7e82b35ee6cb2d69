package milter

import "bytes"

// stage numbers the commands that macros belong to, in the order of a session.
type stage uint8

const (
	stageConnect stage = iota
	stageHelo
	stageMail
	stageRcpt
	stageData
	stageHeader
	stageEndOfHeader
	stageBody
	stageEndOfMessage
	stageUnknown
	stages
)

// macros are those of a session. As in libmilter each command has a set of its
// own, which the next macros for that command replace, and a later command's
// set covers an earlier one's. Those of a message go when the next one begins.
type macros struct {
	sets  [stages][]byte // NUL-terminated names and values in turn
	size  int
	stale bool // the message that the later sets belong to is over
}

func stageOf(command byte) (stage, bool) {
	switch command {
	case cmdConnect:
		return stageConnect, true
	case cmdHelo:
		return stageHelo, true
	case cmdMail:
		return stageMail, true
	case cmdRcpt:
		return stageRcpt, true
	case cmdData:
		return stageData, true
	case cmdHeader:
		return stageHeader, true
	case cmdEndOfHeader:
		return stageEndOfHeader, true
	case cmdBody:
		return stageBody, true
	case cmdEndOfBody:
		return stageEndOfMessage, true
	case cmdUnknown:
		return stageUnknown, true
	}
	return 0, false
}

// define takes a frame of macros: the command's letter, then names and values,
// each ended by NUL. The last value may lack.
func (m *macros) define(data []byte, limit int) error {
	if len(data) == 0 {
		return breach("sent macros for no command")
	}
	at, known := stageOf(data[0])
	if !known {
		// libmilter refuses these; there is nothing they could be read for.
		return breach("sent macros for the command %q", data[0])
	}
	data = data[1:]
	if len(data) > 0 && data[len(data)-1] != 0 {
		return breach("sent macros whose last has no end")
	}
	switch {
	case at == stageConnect:
		m.forget(stageConnect)
	case at >= stageMail && at != stageUnknown:
		m.message()
		if at == stageMail {
			m.forget(stageMail)
		}
	}
	size := m.size + len(data) - len(m.sets[at])
	if size > limit {
		return breach("sent more than %d octets of macros", limit)
	}
	m.size = size
	m.sets[at] = append(m.sets[at][:0], data...)
	return nil
}

// message drops what is left of a message that is over.
func (m *macros) message() {
	if m.stale {
		m.forget(stageMail)
	}
}

// forget empties the sets from a stage on, and keeps their memory unless that
// is much.
func (m *macros) forget(from stage) {
	for i := from; i < stages; i++ {
		m.size -= len(m.sets[i])
		if cap(m.sets[i]) > 1024 {
			m.sets[i] = nil
		}
		m.sets[i] = m.sets[i][:0]
	}
	m.stale = false
}

// get returns a macro's value of the latest command that has it.
func (m *macros) get(name string) string {
	name = bare(name)
	for i := len(m.sets) - 1; i >= 0; i-- {
		for rest := m.sets[i]; len(rest) > 0; {
			var k, v []byte
			k, rest = cut(rest)
			v, rest = cut(rest)
			if n := len(k); n > 1 && k[0] == '{' && k[n-1] == '}' {
				k = k[1 : n-1]
			}
			if string(k) == name {
				return string(v)
			}
		}
	}
	return ""
}

func bare(name string) string {
	if n := len(name); n > 1 && name[0] == '{' && name[n-1] == '}' {
		return name[1 : n-1]
	}
	return name
}

// cut returns what stands before the first NUL and what stands behind it.
func cut(b []byte) (before, after []byte) {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}
