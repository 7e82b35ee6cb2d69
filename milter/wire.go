package milter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The commands of the MTA, with the names of Sendmail's libmilter/mfdef.h.
const (
	cmdAbort       byte = 'A' // SMFIC_ABORT
	cmdBody        byte = 'B' // SMFIC_BODY: a chunk of the body
	cmdConnect     byte = 'C' // SMFIC_CONNECT
	cmdMacro       byte = 'D' // SMFIC_MACRO: macros for the command named in the first octet
	cmdEndOfBody   byte = 'E' // SMFIC_BODYEOB: the end, and perhaps the last chunk
	cmdHelo        byte = 'H' // SMFIC_HELO
	cmdQuitNewConn byte = 'K' // SMFIC_QUIT_NC: goodbye; another SMTP connection follows on this one
	cmdHeader      byte = 'L' // SMFIC_HEADER
	cmdMail        byte = 'M' // SMFIC_MAIL
	cmdEndOfHeader byte = 'N' // SMFIC_EOH
	cmdNegotiate   byte = 'O' // SMFIC_OPTNEG; the reply has the same letter
	cmdQuit        byte = 'Q' // SMFIC_QUIT
	cmdRcpt        byte = 'R' // SMFIC_RCPT
	cmdData        byte = 'T' // SMFIC_DATA
	cmdUnknown     byte = 'U' // SMFIC_UNKNOWN: an unknown SMTP command
)

// The filter's answers that are no Verdict.
const (
	repAddRcpt      byte = '+' // SMFIR_ADDRCPT
	repDeleteRcpt   byte = '-' // SMFIR_DELRCPT
	repAddRcptArgs  byte = '2' // SMFIR_ADDRCPT_PAR
	repShutdown     byte = '4' // SMFIR_SHUTDOWN: 421 to the SMTP client
	repReplaceBody  byte = 'b' // SMFIR_REPLBODY: a chunk of the new body
	repChangeFrom   byte = 'e' // SMFIR_CHGFROM
	repConnFail     byte = 'f' // SMFIR_CONN_FAIL
	repAddHeader    byte = 'h' // SMFIR_ADDHEADER
	repInsertHeader byte = 'i' // SMFIR_INSHEADER
	repSetMacros    byte = 'l' // SMFIR_SETSYMLIST; sent as a part of the negotiation
	repChangeHeader byte = 'm' // SMFIR_CHGHEADER
	repProgress     byte = 'p' // SMFIR_PROGRESS
	repQuarantine   byte = 'q' // SMFIR_QUARANTINE
)

// MaxChunk is the most octets of a body in one frame (MILTER_CHUNK_SIZE), and
// the most data of a frame that every MTA takes (MILTER_MAX_DATA_SIZE).
const MaxChunk = 65535

// lead is what stands before a frame's data: its length and its command.
const lead = 5

// ProtocolError is a peer's breach of the protocol. It ends the session.
type ProtocolError struct{ Reason string }

func (e *ProtocolError) Error() string { return "milter: the peer " + e.Reason }

func breach(format string, args ...any) error {
	return &ProtocolError{fmt.Sprintf(format, args...)}
}

// AppendFrame appends a frame to b: the length of what follows as four octets,
// the command, and the data's parts one after the other.
func AppendFrame[T string | []byte](b []byte, command byte, data ...T) []byte {
	n := 1
	for _, d := range data {
		n += len(d)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = append(b, command)
	for _, d := range data {
		b = append(b, d...)
	}
	return b
}

// ReadFrame reads one frame of at most limit octets of data into buf, which it
// grows as the data arrives. io.EOF means that there was no further frame.
func ReadFrame(r io.Reader, buf []byte, limit int) (command byte, data []byte, err error) {
	var head [lead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, buf, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if err := frameLength(n, limit); err != nil {
		return 0, buf, err
	}
	want, data := int(n)-1, buf[:0]
	for len(data) < want {
		if len(data) == cap(data) {
			// Grown by what has come, not by what was announced.
			bigger := make([]byte, len(data), min(want, max(4096, 2*len(data))))
			copy(bigger, data)
			data = bigger
		}
		part := data[len(data):min(want, cap(data))]
		if _, err := io.ReadFull(r, part); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, data, err
		}
		data = data[:len(data)+len(part)]
	}
	return head[4], data, nil
}

func frameLength(n uint32, limit int) error {
	switch {
	case n == 0:
		return breach("sent a frame without a command")
	case n > uint32(limit)+1:
		return breach("announced a frame of %d octets; at most %d are taken", n, limit)
	}
	return nil
}

// begin starts a frame whose length is filled in by end.
func begin(b []byte, command byte) ([]byte, int) {
	return append(b, 0, 0, 0, 0, command), len(b)
}

func end(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// cstring appends a string and the NUL that ends it.
func cstring(b []byte, s string) []byte { return append(append(b, s...), 0) }
