package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"sekimori/internal/handoff"
	"sekimori/internal/locale"
	"sekimori/internal/store"
)

// ownerWait is how long a command waits for a data folder whose owner is just
// coming or going.
const ownerWait = 30 * time.Second

// withStore runs work on the data folder: here, if the folder is free, while
// doing the jobs of other commands that come meanwhile; else by handing the
// whole command to the process that owns the folder. With create false a
// folder that does not exist is an error instead of a new one.
func (e *Env) withStore(ctx context.Context, dir string, create bool, work func(*store.Store) error) error {
	return e.withStoreOf(ctx, dir, create, store.Options{}, work)
}

// withStoreOf is withStore with options for a folder that is not open yet.
func (e *Env) withStoreOf(ctx context.Context, dir string, create bool, o store.Options, work func(*store.Store) error) error {
	if e.shared != nil {
		return work(e.shared)
	}
	dir = e.path(dir)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) && !create {
		return fmt.Errorf("no data folder at %s: import reports first (sekimori import PATH) or survey a list (sekimori survey run LIST), or name the folder with --data", dir)
	}
	deadline := time.Now().Add(ownerWait)
	for {
		st, err := store.Open(ctx, dir, o)
		if err == nil {
			return e.own(dir, st, work)
		}
		if !errors.Is(err, store.ErrLocked) {
			return folderError(dir, err)
		}
		status, err := handoff.Call(ctx, dir, e.job(), handoff.Streams{In: e.stdin(), Out: e.Out, Err: e.Err})
		switch {
		case err == nil && status == StatusDone:
			return nil
		case err == nil:
			return statusError{status: status}
		case !errors.Is(err, handoff.ErrNoOwner):
			return temporary(err)
		case time.Now().After(deadline):
			return temporary(fmt.Errorf("the data folder %s is in use by a process that does not answer", dir))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// folderError says what to do about a data folder that cannot be opened.
func folderError(dir string, err error) error {
	if i, serr := os.Stat(dir); serr == nil && !i.IsDir() {
		return fmt.Errorf("--data: %s is a file: name a folder", dir)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: run the command as the owner of the folder, or name another one with --data", err)
	}
	return err
}

// own works as the owner of the folder and closes it in the end, after the
// jobs of others that are still under way.
func (e *Env) own(dir string, st *store.Store, work func(*store.Store) error) (err error) {
	defer func() {
		if cerr := st.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("close the data folder: %w", cerr)
		}
	}()
	ln, err := handoff.Listen(dir, func(ctx context.Context, j handoff.Job, s handoff.Streams) int {
		lang, ok := locale.Parse(j.Lang)
		if !ok {
			lang = locale.English
		}
		return Run(ctx, Env{Args: j.Args, In: s.In, Out: s.Out, Err: s.Err, Dir: j.Dir,
			Lang: lang, Terminal: j.Terminal, Width: j.Width, Version: e.Version, User: j.User, shared: st, serving: e.serving, site: e.site})
	})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		ln.Close(ctx)
	}()
	return work(st)
}

func (e *Env) job() handoff.Job {
	return handoff.Job{Args: e.Args, Dir: e.Dir, Lang: string(e.Lang), Terminal: e.Terminal, Width: e.Width, User: e.person()}
}

// stdin is the standard input, for a command that reads it. Others leave it
// to the shell.
func (e *Env) stdin() io.Reader {
	if slices.Contains(e.Args, "-") && e.In != nil {
		return e.In
	}
	return nil
}
