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
	names, err := s.files()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if found[name], err = os.ReadFile(filepath.Join(s.Inbox(), "new", name)); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// files lists the inbox, which is there from the first message on.
func (s *Server) files() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.Inbox(), "new"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// find returns the name of the message's file, or "" as long as there is none.
// It reads each header once, whoever asks.
func (s *Server) find(id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name := s.names[id]; name != "" {
		return name, nil
	}
	names, err := s.files()
	if err != nil {
		return "", err
	}
	if s.names == nil {
		s.names, s.known = map[string]string{}, map[string]bool{}
	}
	for _, name := range names {
		if s.known[name] {
			continue
		}
		text, err := os.ReadFile(filepath.Join(s.Inbox(), "new", name))
		if err != nil {
			return "", err
		}
		s.known[name] = true
		head, _, _ := bytes.Cut(text, []byte("\n\n"))
		// Our own Received field, the topmost of the kind.
		_, rest, _ := bytes.Cut(head, []byte("\nReceived: "))
		_, rest, _ = bytes.Cut(rest, []byte(" id "))
		end := bytes.IndexFunc(rest, func(c rune) bool { return c <= ' ' || c == ';' })
		s.names[string(rest[:max(end, 0)])] = name
	}
	return s.names[id], nil
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
	until := time.Now().Add(patience)
	for {
		name, err := s.find(id)
		if err != nil {
			return "", nil, err
		}
		if name != "" {
			text, err := os.ReadFile(filepath.Join(s.Inbox(), "new", name))
			return InInbox, Undelivered(text), err
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
