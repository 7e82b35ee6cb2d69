package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sekimori/message"
)

// Place is an input of a Batch: a message, a mailbox (mbox), a maildir, a
// folder of any of these, a stream, or whatever hands out messages one by one.
type Place struct {
	Name string    // what results call it
	File string    // its path; empty for a stream
	In   io.Reader // the stream: a message or a mailbox
	// Each, if set, calls yield for one message after another, with the name
	// that its result is to have, and stops when yield returns an error. Its own
	// error ends the run. It is for what is no file, such as a mailbox on an
	// IMAP server. A message is read before yield returns.
	Each func(ctx context.Context, yield func(name string, r io.Reader) error) error
}

// Many reports whether the place is one of many messages by its nature: a
// folder, or a file that begins as a mailbox does.
func (p Place) Many() bool {
	if p.File == "" {
		return false
	}
	fi, err := os.Stat(p.File)
	if err != nil {
		return false
	}
	if fi.IsDir() {
		return true
	}
	if !fi.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(p.File)
	if err != nil {
		return false
	}
	defer f.Close()
	return isMailbox(bufio.NewReaderSize(f, sniffed))
}

const (
	sniffed    = 4 << 10  // octets that show what a file is
	readBuffer = 64 << 10 // of a mailbox
)

// isMailbox tells a stream that begins with a separator line.
func isMailbox(br *bufio.Reader) bool {
	b, _ := br.Peek(2 * maxFromLine)
	i := bytes.IndexByte(b, '\n')
	return i > 0 && i < maxFromLine && isFromLine(b[:i+1]) && beginsHeader(b[i+1:])
}

// item is a message that was found, not yet read.
type item struct {
	path   string
	offset int64  // of the message in its file
	file   string // where it is, if it is a file of its own
	sp     *spool // where it is otherwise
	quoted bool   // a mailbox may have quoted lines of it
	named  bool   // it was asked for by itself: whatever it is, it gets a verdict
	err    error  // why it cannot be read
}

func (it *item) open() (io.ReadCloser, error) {
	if it.sp != nil {
		return io.NopCloser(it.sp.reader()), nil
	}
	f, err := os.Open(it.file)
	if err != nil {
		return nil, plain(err)
	}
	return f, nil
}

func (it *item) close() {
	if it.sp != nil {
		it.sp.free()
		it.sp = nil
	}
}

// walker finds messages, in a fixed order: places as given, files of a folder
// by name, messages of a mailbox as they stand.
type walker struct {
	ctx   context.Context
	tmp   string
	yield func(*item) error
}

func (w *walker) place(p Place) error {
	if p.Each != nil {
		return p.Each(w.ctx, w.single)
	}
	if p.File == "" {
		return w.stream(p.Name, p.In)
	}
	fi, err := os.Stat(p.File)
	switch {
	case err != nil:
		return w.reject(p.Name, 0, plain(err))
	case fi.IsDir():
		return w.folder(p.Name, p.File)
	case fi.Mode().IsRegular():
		return w.regular(p.Name, p.File, true)
	}
	f, err := os.Open(p.File) // a pipe
	if err != nil {
		return w.reject(p.Name, 0, plain(err))
	}
	defer f.Close()
	return w.stream(p.Name, f)
}

// single takes a message that comes by itself.
func (w *walker) single(name string, r io.Reader) error {
	sp := newSpool(w.tmp)
	_, err := io.Copy(sp, r)
	if err != nil && !errors.Is(err, message.ErrTooLarge) { // the source's own trouble
		sp.free()
		return err
	}
	return w.yield(&item{path: name, sp: sp, err: err})
}

func (w *walker) reject(path string, offset int64, err error) error {
	return w.yield(&item{path: path, offset: offset, err: err})
}

// regular takes a file: a mailbox is cut here, a message is left to who
// checks it.
func (w *walker) regular(name, file string, named bool) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return w.reject(name, 0, plain(err))
	}
	defer f.Close()
	br := bufio.NewReaderSize(f, readBuffer)
	if !isMailbox(br) {
		return w.yield(&item{path: name, file: file, named: named})
	}
	return w.mailbox(name, br)
}

func (w *walker) mailbox(name string, br *bufio.Reader) error {
	m := mailbox{br: br}
	for no := 1; ; no++ {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		sp := newSpool(w.tmp)
		p, err := m.next(sp)
		if err != nil {
			sp.free()
			if err == io.EOF {
				return nil
			}
			return w.reject(name, m.off, plain(err))
		}
		it := &item{path: name + "#" + strconv.Itoa(no), offset: p.offset, sp: sp, quoted: p.quoted, err: p.err}
		if err := w.yield(it); err != nil {
			return err
		}
	}
}

func (w *walker) stream(name string, r io.Reader) error {
	br := bufio.NewReaderSize(r, readBuffer)
	if isMailbox(br) {
		return w.mailbox(name, br)
	}
	sp := newSpool(w.tmp)
	if _, err := io.Copy(sp, br); err != nil {
		n := sp.n
		sp.free()
		return w.reject(name, n, plain(err))
	}
	return w.yield(&item{path: name, sp: sp, named: true})
}

// folder takes a maildir, or every file below a folder. Names that begin with
// a dot are passed over, but for the folders of a maildir.
func (w *walker) folder(name, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return w.reject(name, 0, plain(err))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	mail := isMaildir(dir)
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		n := e.Name()
		at, file := strings.TrimRight(name, "/")+"/"+n, filepath.Join(dir, n)
		sub := e.IsDir() && isMaildir(file)
		if mail && n != "cur" && n != "new" && !sub || strings.HasPrefix(n, ".") && !(mail && sub) {
			continue
		}
		if e.IsDir() {
			err = w.folder(at, file)
		} else if fi, serr := os.Stat(file); serr != nil {
			err = w.reject(at, 0, plain(serr))
		} else if fi.Mode().IsRegular() {
			err = w.regular(at, file, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isMaildir(dir string) bool {
	for _, n := range []string{"cur", "new"} {
		if fi, err := os.Stat(filepath.Join(dir, n)); err != nil || !fi.IsDir() {
			return false
		}
	}
	return true
}

// plain drops the path from a file error: results name it already.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// fieldsOfMail are fields of which every message has at least one.
var fieldsOfMail = []string{"From", "Date", "Received", "Return-Path", "Message-ID", "Subject", "To", "Sender", "MIME-Version", "Content-Type", "DKIM-Signature", "Delivered-To"}

// errNotMail is in the reason for what has no header of a message. Other
// reasons are for what is something else.
var errNotMail = errors.New("not a message")

func isMail(h message.Header) bool {
	for _, f := range h {
		for _, n := range fieldsOfMail {
			if f.Is(n) {
				return true
			}
		}
	}
	return false
}

// notMail words why a file is not a message, by its first octets.
func notMail(start []byte) error {
	for _, s := range []struct{ magic, name string }{
		{"\x1f\x8b", "gzip-compressed data: unpack it first"},
		{"PK\x03\x04", "a zip archive: unpack it first"},
		{"\x28\xb5\x2f\xfd", "zstd-compressed data: unpack it first"},
		{"\xd0\xcf\x11\xe0", "an Outlook message (.msg): save it as .eml"},
		{"!BDN", "an Outlook mailbox (.pst): export it as mbox"},
		{"%PDF", "a PDF document"},
	} {
		if bytes.HasPrefix(start, []byte(s.magic)) {
			return fmt.Errorf("not a message: %s", s.name)
		}
	}
	if len(bytes.TrimSpace(start)) == 0 {
		return fmt.Errorf("%w: it is empty", errNotMail)
	}
	return fmt.Errorf("%w: it does not begin with header fields such as From, Date or Received", errNotMail)
}
