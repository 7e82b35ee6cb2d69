package cli

import (
	"net"
	"os"
	"strconv"

	kernel "golang.org/x/sys/unix"
)

// notify tells systemd how the service does, where it wants to know
// (sd_notify(3)): one datagram to the socket that the environment names.
func notify(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" || name[0] != '/' && name[0] != '@' {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}

// notifyReload says that the configuration is being read, and since when.
func notifyReload() {
	var t kernel.Timespec
	if kernel.ClockGettime(kernel.CLOCK_MONOTONIC, &t) == nil {
		notify("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(t.Nano()/1000, 10))
	}
}
