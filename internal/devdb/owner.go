package devdb

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func ownerOf(info fs.FileInfo) (uid, gid uint32) {
	stat := info.Sys().(*syscall.Stat_t)
	return stat.Uid, stat.Gid
}

func ownedByUs(info fs.FileInfo) bool {
	uid, _ := ownerOf(info)
	return int(uid) == os.Geteuid()
}

// chownFor gives the path to the user that the server runs as, where that is not us.
func chownFor(path string, cred *syscall.Credential) error {
	if cred == nil {
		return nil
	}
	if err := os.Lchown(path, int(cred.Uid), int(cred.Gid)); err != nil {
		return fmt.Errorf("hand over to the PostgreSQL user: %w", err)
	}
	return nil
}

// freeSpace is how many bytes we may still write at path.
func freeSpace(path string) (uint64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(path, &stat); err != nil {
		return 0, fmt.Errorf("measure free space: %w", err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}
