package milter

import (
	"errors"
	"io/fs"
	"net"
)

// SocketOptions are for sockets of the machine (unix).
type SocketOptions struct {
	Mode  fs.FileMode // zero: as the umask leaves it
	Owner string      // name or number; "": as it is
	Group string
}

// Listen opens an address: "unix:/path", "tcp:host:port", or as Sendmail
// writes it, "local:/path", "inet:port@host", "inet6:port@host".
func Listen(address string, o SocketOptions) (net.Listener, error) {
	return nil, errors.New("not yet")
}
