package check

import (
	"bufio"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"sync"

	"sekimori/dkim"
	"sekimori/explain"
	"sekimori/message"
)

// Batch checks many messages with all cores, in constant memory. Messages that
// are files of their own are streamed, whatever their length. Of a mailbox or
// a stream, a message is kept in memory up to 256 KiB and in a temporary file
// beyond; one of more than 1 GiB is rejected. At most 2 × Workers messages are
// kept at a time. The zero Batch is invalid: it needs a Checker.
type Batch struct {
	Checker *Checker
	Given   Input          // connection data that holds for every message
	Trust   []netip.Prefix // networks whose hops are passed over, see Derive
	// AtReceived judges each message as of its topmost Received field; a
	// message without one as of now, which its verdict says.
	AtReceived bool
	// Render, if set, turns each outcome into octets, which Run then hands out
	// with it. It is called by many goroutines at once.
	Render func(*Checked) []byte
	// Keep fills in Checked.Header and Checked.Body.
	Keep    bool
	Workers int    // 0 means what suits the machine
	TempDir string // "" means the system's
}

// Checked is the outcome of one message. Path is the name of its file; in a
// mailbox followed by "#" and the message's number, the first being 1. Offset
// is where the message begins in its file, or where reading failed.
type Checked struct {
	Path    string
	Offset  int64
	Verdict Verdict
	Err     error // the message could not be read; there is no verdict

	// With Batch.Keep: the header section, and the SHA-256 of the body in the
	// relaxed canonicalization, by which copies of a message from different
	// mailboxes are alike.
	Header message.Header
	Body   [sha256.Size]byte

	Rendered []byte // by Batch.Render
}

// Run checks every message of the places and hands each outcome to out, in the
// order of the input, from one goroutine. What cannot be read is an outcome
// with an error, and the rest goes on. Run ends early when ctx ends or out
// returns an error, which it returns.
func (b *Batch) Run(ctx context.Context, places []Place, out func(Checked) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := b.Workers
	if workers <= 0 {
		// More than there are cores, so that messages whose DNS answers are
		// on their way do not keep others waiting.
		workers = max(32, 4*runtime.GOMAXPROCS(0))
	}
	type task struct {
		it   *item
		done chan Checked
	}
	tasks := make(chan task)
	order := make(chan task, workers)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			buf := make([]byte, 32<<10)
			for t := range tasks {
				c := b.one(ctx, t.it, buf)
				if b.Render != nil {
					c.Rendered = b.Render(&c)
				}
				t.done <- c
			}
		})
	}
	group.Go(func() {
		defer close(order)
		defer close(tasks)
		w := walker{ctx: ctx, tmp: b.TempDir, yield: func(it *item) error {
			t := task{it: it, done: make(chan Checked, 1)}
			select {
			case order <- t:
			case <-ctx.Done():
				it.close()
				return ctx.Err()
			}
			tasks <- t // a worker is free, or will be: none waits for anything but DNS
			return nil
		}}
		for _, p := range places {
			if err := w.place(p); err != nil {
				cancel(err)
				return
			}
		}
	})
	var failed error
	for t := range order {
		c := <-t.done
		if failed == nil && ctx.Err() == nil {
			if err := out(c); err != nil {
				failed = err
				cancel(err)
			}
		}
	}
	group.Wait()
	if failed != nil {
		return failed
	}
	return context.Cause(ctx)
}

// one checks a message.
func (b *Batch) one(ctx context.Context, it *item, buf []byte) Checked {
	defer it.close()
	c := Checked{Path: it.path, Offset: it.offset, Err: it.err}
	if c.Err != nil || ctx.Err() != nil {
		return c
	}
	c.Err = b.read(ctx, it, it.quoted, buf, &c)
	if c.Err == nil && it.quoted && bodyDiffers(c.Verdict) {
		// The mailbox's program may quote nothing, or not all of it. A
		// signature that is right for the lines as they stand settles it.
		plain := Checked{Path: c.Path, Offset: c.Offset}
		if err := b.read(ctx, it, false, buf, &plain); err == nil && !bodyDiffers(plain.Verdict) {
			c = plain
		}
	}
	return c
}

// bodyDiffers reports whether a signature failed for the body.
func bodyDiffers(v Verdict) bool {
	for _, s := range v.DKIM {
		if s.Status == dkim.Fail && s.Reason.Code == "dkim.body-hash-differs" {
			return true
		}
	}
	return v.SMIME != nil && v.SMIME.Reason.Code == "smime.content-differs"
}

// read reads and checks a message, with the mailbox's quoting taken off or
// left on, and puts what it finds into c.
func (b *Batch) read(ctx context.Context, it *item, unquote bool, buf []byte, c *Checked) error {
	r, err := it.open()
	if err != nil {
		return err
	}
	defer r.Close()
	var src io.Reader = r
	if unquote {
		src = newUnquoter(r)
	}
	br := readers.Get().(*bufio.Reader)
	br.Reset(src)
	defer func() {
		br.Reset(nil)
		readers.Put(br)
	}()
	start, _ := br.Peek(16)
	first := string(start)
	h, body, err := message.Read(br, 0)
	if err != nil {
		return plain(err)
	}
	headless := false
	if !isMail(h) {
		err := notMail([]byte(first))
		if headless = it.named && errors.Is(err, errNotMail); !headless {
			return err
		}
	}
	in := Derive(h, b.Given, b.Trust)
	if b.AtReceived {
		if in.Time = Arrived(h); in.Time.IsZero() {
			in.Origin = append(in.Origin, explain.Step{Code: "check.time-unknown"})
		}
	}
	n := b.Checker.Begin(ctx, in, h)
	var body256 *message.BodyDigest
	if b.Keep {
		// Most signatures ask for this one, which then costs nothing.
		body256 = n.digests.Add(message.BodyHash{Canonicalization: message.Relaxed, Hash: crypto.SHA256, Limit: -1})
	}
	if _, err := io.CopyBuffer(writerOnly{n}, readerOnly{body}, buf); err != nil {
		n.Finish(ctx)
		return fmt.Errorf("read the body: %w", plain(err))
	}
	c.Verdict = n.Finish(ctx)
	c.Verdict.Headless = headless
	if b.Keep {
		c.Header = h
		copy(c.Body[:], body256.Sum())
	}
	return nil
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 16<<10) }}

// writerOnly and readerOnly hide the methods by which io.CopyBuffer would do
// without its buffer.
type writerOnly struct{ io.Writer }
type readerOnly struct{ io.Reader }
