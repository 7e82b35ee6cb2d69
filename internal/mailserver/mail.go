//go:build unix

package mailserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Inbox is the maildir that takes the mail of all Domains.
func (s *Server) Inbox() string { return filepath.Join(s.Dir, "mail", "inbox") }

// Delivered returns the messages in the inbox by the name of their files, as
// they were delivered: line ends are LF, and Return-Path, X-Original-To and
// Delivered-To stand before everything else.
func (s *Server) Delivered() (map[string][]byte, error) {
	found := map[string][]byte{}
	dir := filepath.Join(s.Inbox(), "new")
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return found, nil
	}
	for _, n := range names {
		text, err := os.ReadFile(filepath.Join(dir, n.Name()))
		if err != nil {
			return nil, err
		}
		found[n.Name()] = text
	}
	return found, err
}

// Held returns the IDs of the messages on hold.
func (s *Server) Held() ([]string, error) { return s.queued("hold") }

// Waiting returns the IDs of the messages that are on their way or wait for
// another try.
func (s *Server) Waiting() ([]string, error) {
	var all []string
	for _, q := range []string{"incoming", "active", "deferred"} {
		ids, err := s.queued(q)
		if err != nil {
			return nil, err
		}
		all = append(all, ids...)
	}
	return all, nil
}

// queued lists a queue, which may have its files in folders.
func (s *Server) queued(name string) ([]string, error) {
	var ids []string
	err := filepath.WalkDir(filepath.Join(s.Dir, "queue", name), func(_ string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // gone on while we looked
		}
		if err == nil && d.Type().IsRegular() {
			ids = append(ids, d.Name())
		}
		return err
	})
	return ids, err
}

// Message returns a message that is in a queue, with LF as line end.
func (s *Server) Message(id string) ([]byte, error) {
	text, err := s.command("postcat", "-b", "-h", "-q", id)
	return []byte(text), err
}

// Place is where a message ended.
type Place string

const (
	InInbox Place = "inbox"
	InHold  Place = "hold"
)

// Await waits until the message is in the inbox or on hold, and returns it.
// A message in the inbox has lost the fields of the delivery: it begins with
// what arrived.
func (s *Server) Await(id string, patience time.Duration) (Place, []byte, error) {
	mark := []byte(" id " + id)
	until := time.Now().Add(patience)
	for {
		all, err := s.Delivered()
		if err != nil {
			return "", nil, err
		}
		for _, text := range all {
			if head, _, _ := bytes.Cut(text, []byte("\n\n")); bytes.Contains(head, mark) {
				return InInbox, Undelivered(text), nil
			}
		}
		held, err := s.Held()
		if err != nil {
			return "", nil, err
		}
		if slices.Contains(held, id) {
			text, err := s.Message(id)
			return InHold, text, err
		}
		if time.Now().After(until) {
			return "", nil, fmt.Errorf("message %s is neither delivered nor held; the log says: %s", id, s.about(id))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// about is what the log says of a message.
func (s *Server) about(id string) string {
	said := ""
	for line := range strings.Lines(s.Log()) {
		if strings.Contains(line, id) {
			said += line
		}
	}
	return said
}

// Undelivered takes the fields off that the delivery put on top.
func Undelivered(text []byte) []byte {
	for _, name := range []string{"Return-Path:", "X-Original-To:", "Delivered-To:"} {
		if bytes.HasPrefix(text, []byte(name)) {
			_, text, _ = bytes.Cut(text, []byte("\n"))
		}
	}
	return text
}
