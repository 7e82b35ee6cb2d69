package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"time"

	"sekimori/rpki"
)

// portRTR is the port of RTR caches (RFC 8210 §9).
const portRTR = "323"

// rtrIdle is how long an RTR cache may be silent, and rtrWhole how long its
// whole answer may take.
const (
	rtrIdle  = 30 * time.Second
	rtrWhole = 10 * time.Minute
)

// LoadVRPs reads validated ROA payloads from a file that a validator wrote, as
// rpki.ReadVRPs does, or from an RTR cache: "rtr://HOST" or "rtr://HOST:PORT".
// A file that does not say when it was made is taken to be as old as itself,
// a cache's answer to be of now. It ends with ctx.
func LoadVRPs(ctx context.Context, source string) (*rpki.VRPs, rpki.Reading, error) {
	if u, err := url.Parse(source); err == nil && u.Scheme == "rtr" {
		if u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.User != nil || u.RawQuery != "" {
			return nil, rpki.Reading{}, fmt.Errorf("%s: want rtr://HOST or rtr://HOST:PORT", source)
		}
		port := u.Port()
		if port == "" {
			port = portRTR
		}
		s, got, err := dialRTR(ctx, net.JoinHostPort(u.Hostname(), port))
		if err != nil {
			return nil, got, fmt.Errorf("%s: %w", source, err)
		}
		return s, got, nil
	}
	f, made, err := open(source)
	if err != nil {
		return nil, rpki.Reading{}, err
	}
	defer f.Close()
	s, got, err := rpki.ReadVRPs(untilDone{ctx, f})
	if err != nil {
		return nil, got, fmt.Errorf("%s: %w", source, err)
	}
	if got.Time.IsZero() {
		got.Time = made
	}
	return s, got, nil
}

// LoadRoutes reads what is announced from a file, as rpki.ReadRoutes does. A
// file that does not say when it was made is taken to be as old as itself. It
// ends with ctx.
func LoadRoutes(ctx context.Context, file string, visibility float64) (*rpki.Routes, rpki.RouteReading, error) {
	f, made, err := open(file)
	if err != nil {
		return nil, rpki.RouteReading{}, err
	}
	defer f.Close()
	r, got, err := rpki.ReadRoutes(untilDone{ctx, f}, visibility)
	if err != nil {
		return nil, got, fmt.Errorf("%s: %w", file, err)
	}
	if got.Time.IsZero() {
		got.Time = made
	}
	return r, got, nil
}

func open(file string) (*os.File, time.Time, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, time.Time{}, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s: is a folder: want a file", file)
	}
	if err != nil {
		f.Close()
		return nil, time.Time{}, err
	}
	return f, info.ModTime().UTC(), nil
}

// untilDone stops reading when ctx ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// dialRTR asks a cache, and once more in the older version if that is all it
// speaks (RFC 8210 §7).
func dialRTR(ctx context.Context, address string) (*rpki.VRPs, rpki.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, rtrWhole)
	defer cancel()
	ask := func(version uint8) (*rpki.VRPs, rpki.Reading, error) {
		conn, err := (&net.Dialer{Timeout: rtrIdle}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, rpki.Reading{}, err
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		s, got, err := rpki.ReadRTR(impatient{conn}, version)
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		got.Time = time.Now().UTC()
		return s, got.Reading, err
	}
	s, got, err := ask(rpki.RTRVersion)
	var other *rpki.VersionError
	if errors.As(err, &other) && other.Version < rpki.RTRVersion {
		s, got, err = ask(other.Version)
	}
	return s, got, err
}

// impatient fails where the other side is silent for rtrIdle.
type impatient struct{ net.Conn }

func (c impatient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(rtrIdle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}
