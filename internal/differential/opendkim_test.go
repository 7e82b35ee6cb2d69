package differential

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sekimori/internal/require"
)

// opendkim runs OpenDKIM's test mode: it reads messages from files and keys
// from a table, and asks no name server.
type opendkim struct {
	path, dir string
}

func needOpenDKIM(t *testing.T) *opendkim {
	return &opendkim{path: require.Program(t, "opendkim", "opendkim"), dir: t.TempDir()}
}

// letter is a message for OpenDKIM and the key records that it may ask for.
type letter struct {
	text    string
	records map[string]string // by name
}

// transported ends the last line, as every message that came by SMTP does
// (RFC 5321 §4.1.1.4): OpenDKIM refuses the rest. Both canonicalizations of a
// body add that line end themselves (RFC 6376 §3.4.3, §3.4.4).
func transported(text string) string {
	if strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\r\n"
}

// batch is how many messages one process reads: it looks through the whole
// table of keys for each.
const batch = 250

// verify returns what OpenDKIM says of each.
func (o *opendkim) verify(t *testing.T, letters []letter) []verdict {
	t.Helper()
	out := make([]verdict, len(letters))
	var failed sync.Map
	each((len(letters)+batch-1)/batch, func(b int) {
		lo, hi := b*batch, min((b+1)*batch, len(letters))
		if err := o.verifyBatch(letters[lo:hi], out[lo:hi], fmt.Sprintf("v%d", b)); err != nil {
			failed.Store(b, err)
		}
	})
	failed.Range(func(_, err any) bool { t.Fatal(err); return false })
	return out
}

const verifyConfig = `Mode v
Syslog no
AuthservID mx.receiver.example
RequireSafeKeys no
On-Default accept
TemporaryDirectory %[1]s
TestPublicKeys %[1]s/keys
`

func (o *opendkim) verifyBatch(letters []letter, out []verdict, name string) error {
	dir := filepath.Join(o.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	table := map[string]string{}
	for i, l := range letters {
		for n, rec := range l.records {
			table[n] = rec
		}
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), []byte(transported(l.text)), 0o600); err != nil {
			return err
		}
	}
	var lines bytes.Buffer
	for n, rec := range table {
		lines.WriteString(n + " " + rec + "\n")
	}
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(filepath.Join(dir, "keys"), lines.Bytes(), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, verifyConfig, dir), 0o600); err != nil {
		return err
	}
	// A message that is refused ends the process: it goes on after it.
	for next := 0; next < len(letters); {
		var files []string
		for i := next; i < len(letters); i++ {
			files = append(files, strconv.Itoa(i))
		}
		cmd := exec.Command(o.path, "-x", conf, "-v", "-t", strings.Join(files, ","))
		cmd.Dir = dir
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		runErr := cmd.Run()
		said := map[int]string{}
		for line := range strings.Lines(stdout.String()) {
			if i, what, ok := fileLine(line); ok {
				said[i] = what
			}
		}
		troubles, last := map[int]string{}, -1
		for line := range strings.Lines(stderr.String()) {
			if i, what, ok := fileLine(line); ok {
				troubles[i], last = what, max(last, i)
			}
		}
		if last < next {
			return fmt.Errorf("opendkim said nothing: %v: %s", runErr, stderr.String())
		}
		for i := next; i <= last; i++ {
			out[i] = dkimVerdict(said[i], troubles[i])
		}
		next = last + 1
	}
	return nil
}

// fileLine takes "opendkim: 17: what it says" apart.
func fileLine(line string) (file int, what string, ok bool) {
	parts := strings.SplitN(strings.TrimSpace(line), ": ", 3)
	if len(parts) < 3 {
		return 0, "", false
	}
	file, err := strconv.Atoi(parts[1])
	return file, parts[2], err == nil
}

// dkimVerdict classifies OpenDKIM's words.
func dkimVerdict(said, trouble string) verdict {
	_, why, failed := strings.Cut(said, " failed: ")
	switch {
	case strings.HasSuffix(said, "succeeded"):
		return verdict{"pass", ""}
	case said == "message not signed":
		return verdict{"none", trouble}
	case !failed: // it stopped reading: a signature that cannot be parsed, a header that cannot be
		return verdict{"invalid", "refused: " + said + trouble}
	case why == "body hash mismatch", why == "signature verification failed":
		return verdict{"fail", why}
	}
	return verdict{"invalid", why}
}

// signing is one configuration of OpenDKIM's signer.
type signing struct {
	key    *key
	domain string
	config string // more lines
}

// sign has OpenDKIM sign each message, and returns the fields it adds, ""
// where it refuses.
func (o *opendkim) sign(t *testing.T, s signing, messages []string, name string) ([]string, error) {
	dir := filepath.Join(o.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var files []string
	for i, m := range messages {
		files = append(files, strconv.Itoa(i))
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), []byte(transported(m)), 0o600); err != nil {
			return nil, err
		}
	}
	conf := fmt.Sprintf("Mode s\nSyslog no\nAuthservID mx.example\nRequireSafeKeys no\nTemporaryDirectory %[1]s\n"+
		"KeyTable file:%[1]s/keytable\nSigningTable file:%[1]s/signtable\n%[2]s", dir, s.config)
	for file, text := range map[string]string{
		"conf": conf, "key": string(s.key.pem(t)),
		"keytable":  fmt.Sprintf("k %s:%s:%s/key\n", s.domain, s.key.name, dir),
		"signtable": s.domain + " k\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(o.path, "-x", filepath.Join(dir, "conf"), "-t", strings.Join(files, ","))
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("opendkim: %w: %s%s", err, stdout.String(), stderr.String())
	}
	out := make([]string, len(messages))
	current := -1
	for line := range strings.Lines(stdout.String()) {
		if rest, ok := strings.CutPrefix(line, "opendkim: "); ok {
			file, _, _ := strings.Cut(rest, ":")
			i, err := strconv.Atoi(file)
			if err != nil || i >= len(out) {
				return nil, fmt.Errorf("opendkim said %q", line)
			}
			current = i
			continue
		}
		if current >= 0 {
			out[current] += strings.TrimRight(line, "\r\n") + "\r\n"
		}
	}
	return out, nil
}
