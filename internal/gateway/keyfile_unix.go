//go:build unix

package gateway

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// guarded checks that nobody but its owner can change a file, and that nobody
// else can read it, but for root's group or one of ours where it is root's.
func guarded(path string, info fs.FileInfo) error {
	mode := info.Mode().Perm()
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: who owns the file cannot be told: keep it on a file system of this host", path)
	}
	if mode&0o022 != 0 {
		return fmt.Errorf("%s: others than its owner can write to the file (mode %04o): chmod 0600 it, and make a new key if others may have had it", path, mode)
	}
	if mode&0o077 == 0 {
		return nil
	}
	if mode&0o007 != 0 {
		return fmt.Errorf("%s: everybody can read the file (mode %04o): chmod 0600 it, and make a new key if others may have had it", path, mode)
	}
	if stat.Uid == 0 && (stat.Gid == 0 || slices.Contains(ownGroups(), int(stat.Gid))) && mode&0o070 == 0o040 {
		return nil
	}
	return fmt.Errorf("%s: a group can read the file (mode %04o, owner %d, group %d): chmod 0600 it, or give it to root and a group of this service (chown root:GROUP, chmod 0640)", path, mode, stat.Uid, stat.Gid)
}

func ownGroups() []int {
	groups, _ := os.Getgroups() // without them the check is stricter
	return append(groups, os.Getegid())
}
