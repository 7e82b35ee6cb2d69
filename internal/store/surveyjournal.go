package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A wave's journal holds the results that are not in DuckDB yet:
//
//	survey/WAVE.journal       what was put last
//	survey/WAVE.journal.old   what is on its way into DuckDB, and older
//
// Both begin with journalMagic. Each result is a frame: the length of its
// payload and the CRC-32C of it, 4 octets each, little-endian; the payload
// (appendPayload). A frame that is cut off or damaged ends the journal. Moving
// a journal in twice does no harm, as a result replaces the one before.
const (
	journalMagic  = "SKMSURV1"
	journalSuffix = ".journal"
	frameHead     = 8
	// maxPayload bounds a frame: a document, and room for the rest.
	maxPayload = maxDoc + 1<<20
)

// packed is a result as the journal holds it.
type packed struct {
	no                  int64
	yes, not            [maxFacts / 64]uint64
	unanswered, retry   bool
	questions, attempts int64
	at, took            int64 // microseconds
	codes               []Code
	codec               uint32
	doc                 []byte // compressed
}

// maxCodes is how many problems of a domain are kept.
const maxCodes = 500

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame adds a result's frame to b.
func appendFrame(b []byte, p *packed) []byte {
	start := len(b)
	b = append(b, make([]byte, frameHead)...)
	b = appendPayload(b, p)
	payload := b[start+frameHead:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(payload, castagnoli))
	return b
}

// appendPayload adds a result to b: numbers as varints, texts and the document
// with their length in front.
func appendPayload(b []byte, p *packed) []byte {
	flags := uint64(0)
	if p.unanswered {
		flags |= 1
	}
	if p.retry {
		flags |= 2
	}
	for _, v := range [...]int64{p.no, int64(flags), p.questions, p.attempts, p.at, p.took, int64(p.codec), int64(len(p.codes))} {
		b = binary.AppendVarint(b, v)
	}
	for i := range p.yes {
		b = binary.LittleEndian.AppendUint64(b, p.yes[i])
		b = binary.LittleEndian.AppendUint64(b, p.not[i])
	}
	for i := range p.codes {
		for _, s := range [...]string{p.codes[i].Topic, p.codes[i].Grade, p.codes[i].Code} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(p.doc)))
	return append(b, p.doc...)
}

// parsePayload reads what appendPayload wrote. The result points into b.
func parsePayload(b []byte) (packed, error) {
	var p packed
	r := payloadReader{b: b}
	p.no = r.int()
	flags := r.int()
	p.unanswered, p.retry = flags&1 != 0, flags&2 != 0
	p.questions, p.attempts, p.at, p.took = r.int(), r.int(), r.int(), r.int()
	p.codec = uint32(r.int())
	codes := r.int()
	for i := range p.yes {
		p.yes[i], p.not[i] = r.word(), r.word()
	}
	if codes < 0 || codes > maxCodes || p.no < 1 || p.no > maxEntry {
		return p, errJournal
	}
	for range codes {
		p.codes = append(p.codes, Code{Topic: string(r.bytes()), Grade: string(r.bytes()), Code: string(r.bytes())})
	}
	p.doc = r.bytes()
	if r.bad || len(r.b) > 0 {
		return p, errJournal
	}
	return p, nil
}

var errJournal = errors.New("not a result of a survey")

// payloadReader reads on until something is missing.
type payloadReader struct {
	b   []byte
	bad bool
}

func (r *payloadReader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *payloadReader) word() uint64 {
	if len(r.b) < 8 {
		r.b, r.bad = nil, true
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *payloadReader) bytes() []byte {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > uint64(len(r.b)-n) {
		r.b, r.bad = nil, true
		return nil
	}
	out := r.b[n : n+int(v)]
	r.b = r.b[n+int(v):]
	return out
}

// readJournal calls f for each result of a journal, up to the first that is
// not whole. What f gets is its own.
func readJournal(in io.Reader, f func(packed) error) error {
	r := bufio.NewReaderSize(in, 1<<16)
	var magic [len(journalMagic)]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil || string(magic[:]) != journalMagic {
		return tail(err)
	}
	for {
		var head [frameHead]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return tail(err)
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n > maxPayload {
			return nil
		}
		// Grown as the octets come: a damaged length costs no memory.
		b, err := io.ReadAll(io.LimitReader(r, int64(n)))
		if err != nil {
			return err
		}
		if len(b) < int(n) || crc32.Checksum(b, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
			return nil
		}
		p, err := parsePayload(b)
		if err != nil {
			return nil
		}
		if err := f(p); err != nil {
			return err
		}
	}
}

// tail is the error of a read, but for a journal's end, torn or not.
func tail(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// journal is the path of a wave's journal.
func (s *Store) journal(wave int64) string {
	return filepath.Join(s.dir, "survey", strconv.FormatInt(wave, 10)+journalSuffix)
}

// journals are the paths of a wave's journals, the older first.
func (s *Store) journals(wave int64) [2]string {
	p := s.journal(wave)
	return [2]string{p + ".old", p}
}

// recoverSurveys moves in what the journals of all waves hold.
func (s *Store) recoverSurveys(ctx context.Context) error {
	names, err := os.ReadDir(filepath.Join(s.dir, "survey"))
	if err != nil {
		return err
	}
	seen := map[int64]bool{}
	for _, n := range names {
		number, _, ok := strings.Cut(n.Name(), journalSuffix)
		id, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil || seen[id] {
			continue
		}
		seen[id] = true
		w, err := s.survey(ctx, id)
		if err == nil {
			err = s.moveIn(ctx, w)
		} else if errors.Is(err, ErrNotFound) { // dropped, but for its journal
			err = s.removeJournals(id)
		}
		if err != nil {
			return fmt.Errorf("results of a survey that was interrupted: %w", err)
		}
	}
	return nil
}

func (s *Store) removeJournals(wave int64) error {
	for _, p := range s.journals(wave) {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// moveIn puts what a wave's journals hold into DuckDB and removes them. Nobody
// writes to them meanwhile.
func (s *Store) moveIn(ctx context.Context, w *surveyWave) error {
	w.mu.Lock()
	err := w.load(ctx, s)
	w.mu.Unlock()
	if err != nil {
		return err
	}
	for _, path := range s.journals(w.id) {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var batch []packed
		size := 0
		flush := func() error {
			if len(batch) == 0 {
				return nil
			}
			err := s.storeResults(ctx, w, batch, nil)
			batch, size = batch[:0], 0
			return err
		}
		err = readJournal(f, func(p packed) error {
			if batch, size = append(batch, p), size+len(p.doc); len(batch) < 4*flushResults && size < flushOctets {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	return s.removeJournals(w.id)
}
