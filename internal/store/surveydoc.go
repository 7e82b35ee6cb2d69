package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Documents of one wave are much alike. The first ones that came serve as
// the dictionary of the others, which shrinks these to a third of what
// compressing each by itself gives, at the same speed. A dictionary is kept
// with its wave, is written before the first document that needs it, and never
// changes.
const (
	// dictionaryBytes is how long a dictionary is.
	dictionaryBytes = 112 << 10
	// dictionaryLeast is the least that is worth one.
	dictionaryLeast = 16 << 10
	// sampleBytes is how much of one document goes into a dictionary.
	sampleBytes = 8 << 10
	// maxDoc bounds a document.
	maxDoc = 16 << 20
)

// encoder compresses documents. It may be used by several goroutines.
type encoder struct {
	codec uint32
	zstd  *zstd.Encoder
}

// newEncoder returns an encoder with a dictionary, or, of codec 0, without.
func newEncoder(codec uint32, dictionary []byte) (*encoder, error) {
	o := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true)}
	if codec > 0 {
		o = append(o, zstd.WithEncoderDictRaw(codec, dictionary))
	}
	z, err := zstd.NewWriter(nil, o...)
	if err != nil {
		return nil, fmt.Errorf("compress documents: %w", err)
	}
	return &encoder{codec, z}, nil
}

// pack appends doc, compressed, to b; nothing where doc is empty.
func (e *encoder) pack(doc, b []byte) []byte {
	if len(doc) == 0 {
		return b
	}
	return e.zstd.EncodeAll(doc, b)
}

// sample takes documents for a dictionary until there are enough.
type sample struct{ bytes []byte }

func (s *sample) add(doc []byte) {
	if room := dictionaryBytes - len(s.bytes); room > 0 {
		s.bytes = append(s.bytes, doc[:min(len(doc), sampleBytes, room)]...)
	}
}

func (s *sample) full() bool { return len(s.bytes) >= dictionaryBytes }

// decoders are those of the dictionaries used last.
type decoders struct {
	mu sync.Mutex
	of map[uint32]*zstd.Decoder
}

// forget frees all decoders.
func (d *decoders) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.of) // those at work stay so; the rest is garbage
}

// unpack decompresses a document.
func (s *Store) unpack(ctx context.Context, codec uint32, packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	d := &s.surveys.docs
	d.mu.Lock()
	z := d.of[codec]
	d.mu.Unlock()
	if z == nil {
		o := []zstd.DOption{zstd.WithDecoderMaxMemory(2 * maxDoc), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(2)}
		if codec > 0 {
			var b []byte
			if err := s.duck.QueryRowContext(ctx, "SELECT bytes FROM survey_dictionary WHERE id = ?", codec).Scan(&b); err != nil {
				return nil, fmt.Errorf("dictionary %d of documents: %w", codec, engineError(err))
			}
			o = append(o, zstd.WithDecoderDictRaw(codec, b))
		}
		var err error
		if z, err = zstd.NewReader(nil, o...); err != nil {
			return nil, fmt.Errorf("dictionary %d of documents: %w", codec, err)
		}
		d.mu.Lock()
		if d.of == nil || len(d.of) >= 16 {
			d.of = map[uint32]*zstd.Decoder{}
		}
		d.of[codec] = z
		d.mu.Unlock()
	}
	doc, err := z.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("a stored document: %w", err)
	}
	return doc, nil
}

// dictionary returns a wave's encoder of a kind of documents; codec 0 where it
// has no dictionary yet.
func (s *Store) dictionary(ctx context.Context, from asker, wave int64, kind string) (*encoder, error) {
	var id uint32
	var b []byte
	err := from.QueryRowContext(ctx, "SELECT id, bytes FROM survey_dictionary WHERE wave = ? AND kind = ? ORDER BY id LIMIT 1", wave, kind).Scan(&id, &b)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("dictionary of documents: %w", engineError(err))
	}
	return newEncoder(id, b)
}

// addDictionary keeps a dictionary in the open transaction.
func (s *Store) addDictionary(ctx context.Context, wave int64, kind string, b []byte) (*encoder, error) {
	var id uint32
	if err := s.conn.QueryRowContext(ctx, "SELECT nextval('survey_dictionary_id')::UINTEGER").Scan(&id); err != nil {
		return nil, err
	}
	if _, err := s.conn.ExecContext(ctx, "INSERT INTO survey_dictionary VALUES (?, ?, ?, ?)", id, wave, kind, b); err != nil {
		return nil, err
	}
	return newEncoder(id, b)
}
