package collect

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// mbox reads a mailbox in one file: messages that each begin with a "From "
// line after an empty one. ">From " in a message is taken for a quoted "From "
// (mboxrd). Each message stands for itself.
func (o *opener) mbox(ctx context.Context, e *entry, br *bufio.Reader) (int, error) {
	found := 0
	var failed firstError
	sp := o.scratch.spool()
	defer func() { sp.close() }()
	bw := bufio.NewWriterSize(sp, bufferSize) // lines are short
	no, messages := 0, 0
	flush := func() error {
		if err := bw.Flush(); err != nil {
			return err
		}
		if no == 0 || sp.n == 0 {
			return nil
		}
		messages++
		if err := o.budget.entry(); err != nil {
			return err
		}
		in := e.inside(nil)
		in.member = joinMember(e.member, fmt.Sprintf("message %d", no))
		if sp.n <= handOver && sp.f == nil {
			n, err := o.spawnEntry(ctx, in, bytes.Clone(sp.buf), failed.set)
			found += n
			sp.buf, sp.n = sp.buf[:0], 0
			if err != nil {
				return err
			}
			return failed.get()
		}
		whole := sp
		sp = o.scratch.spool()
		bw.Reset(sp)
		defer whole.close()
		in.r = io.NewSectionReader(whole.at(), 0, whole.n)
		n, err := o.open(ctx, in)
		found += n
		return o.done(ctx, in, err, func(w io.Writer) error {
			_, err := io.Copy(w, io.NewSectionReader(whole.at(), 0, whole.n))
			return err
		})
	}
	blank, start := true, true // the line before was empty; this is the start of a line
	for {
		line, err := br.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return found, err
		}
		if start && blank && isFromLine(line) {
			if err := flush(); err != nil {
				return found, err
			}
			if err := ctx.Err(); err != nil {
				return found, fatal(err)
			}
			no++
			blank = false
		} else if no > 0 {
			if start && len(line) > 0 && line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
				line = line[1:]
			}
			if sp.n+int64(bw.Buffered()+len(line)) > o.limits.Entry {
				return found, fmt.Errorf("mbox: message %d has more than %d bytes: %w", no, o.limits.Entry, ErrLimit)
			}
			if _, err := bw.Write(line); err != nil {
				return found, err
			}
			blank = start && len(bytes.TrimRight(line, "\r\n")) == 0
		}
		start = err == nil
		if err != io.EOF {
			continue
		}
		if err := flush(); err != nil || messages > 0 {
			return found, err
		}
		return found, errors.New("mbox: no message in it")
	}
}
