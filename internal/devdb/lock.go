package devdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// errLocked means that another living process holds the lock.
var errLocked = errors.New("locked by another process")

// folderLock is held until it is released or the process ends, however it ends.
type folderLock struct{ file *os.File }

// lockFile locks a file that stands, without waiting: errLocked when another process has it,
// fs.ErrNotExist when the file is gone or was replaced meanwhile.
func lockFile(path string) (*folderLock, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// Who held it before may have removed the file between our open and our lock.
	held, err := file.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(path); err == nil && !os.SameFile(held, there) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &folderLock{file: file}, nil
}

// lockFolder locks dir by a file in it that stays.
func lockFolder(dir string) (*folderLock, error) {
	path := dir + "/lock"
	// The folder may belong to the PostgreSQL user, who could have put a link there.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make lock: %w", err)
	}
	file.Close()
	return lockFile(path)
}

func (l *folderLock) release() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("release lock: %w", err)
	}
	return nil
}

// removeAndRelease removes the file while it is still locked, so that nobody locks it in between.
func (l *folderLock) removeAndRelease() error {
	err := os.Remove(l.file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.release())
}
