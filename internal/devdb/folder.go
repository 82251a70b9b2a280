package devdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// outside is where a cluster lies whose project folder the PostgreSQL user cannot reach.
const outside = "/var/lib/kindred-dev"

// folder is a project's folder with its .kindred:
//
//	lock            held while a server of this folder runs
//	secrets/        one file for each secret
//	postgres/       the cluster, where the PostgreSQL user can reach it
//	cluster         else: the path of the cluster, below /var/lib/kindred-dev
//	docker-volume   the name of the volume, once a container has made a whole cluster in it
type folder struct {
	path string // absolute, links resolved
	lock *folderLock
}

func (f folder) state(name string) string { return filepath.Join(f.path, stateDir, name) }

const stateDir = ".kindred"

// openFolder makes .kindred unless it stands, and locks it: ErrInUse when another process has it.
func openFolder(dir string) (folder, error) {
	path, err := makeStateDir(dir)
	if err != nil {
		return folder{}, err
	}
	// A process that was killed a moment ago still holds its lock until the kernel is done with it.
	const patience, pause = time.Second, 20 * time.Millisecond
	deadline := time.Now().Add(patience)
	lock, err := lockFolder(filepath.Join(path, stateDir))
	for errors.Is(err, errLocked) && time.Now().Before(deadline) {
		time.Sleep(pause)
		lock, err = lockFolder(filepath.Join(path, stateDir))
	}
	if errors.Is(err, errLocked) {
		return folder{}, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	if err != nil {
		return folder{}, err
	}
	return folder{path: path, lock: lock}, nil
}

func makeStateDir(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", fmt.Errorf("find the project's folder: %w", err)
	}
	// As root the server runs as another user, who has to pass through to its own folder and can
	// list nothing on the way.
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.Mkdir(filepath.Join(path, stateDir), mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the folder for Kindred's state: %w", err)
	}
	return path, nil
}

// hash names what belongs to this folder and lies elsewhere.
func (f folder) hash() string {
	sum := sha256.Sum256([]byte(f.path))
	return hex.EncodeToString(sum[:10])
}

// home returns the folder of the cluster, made and handed over to the user that the server runs as.
func (f folder) home() (string, *syscall.Credential, error) {
	home, err := f.readPointer()
	if err != nil {
		return "", nil, err
	}
	inside := f.state("postgres")
	pointed := home != ""
	if !pointed {
		home = inside
	}
	cred, err := credentialFor(filepath.Join(home, "data"))
	if err != nil {
		return "", nil, err
	}
	if err := makeHome(home, cred); err != nil {
		return "", nil, err
	}
	if pointed || cred == nil || reachable(home, cred) {
		return home, cred, nil
	}
	if err := os.RemoveAll(inside); err != nil {
		return "", nil, fmt.Errorf("move the cluster's folder: %w", err)
	}
	home = filepath.Join(outside, f.hash())
	if err := makeHome(home, cred); err != nil {
		return "", nil, err
	}
	return home, cred, writeFile(f.state("cluster"), home+"\n")
}

// credentialFor is who the server has to run as: as root the owner of a cluster that stands, which a
// developer may have made without being root; PostgreSQL works on nobody else's.
func credentialFor(data string) (*syscall.Credential, error) {
	cred, err := serverCredential()
	if err != nil || cred == nil {
		return nil, err
	}
	info, err := os.Stat(data)
	if errors.Is(err, fs.ErrNotExist) {
		return cred, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the cluster: %w", err)
	}
	if uid, gid := ownerOf(info); uid != 0 {
		return &syscall.Credential{Uid: uid, Gid: gid}, nil
	}
	return cred, nil
}

func makeHome(home string, cred *syscall.Credential) error {
	if strings.HasPrefix(home, outside+"/") {
		if err := os.MkdirAll(outside, 0o711); err != nil {
			return fmt.Errorf("make the cluster's folder: %w", err)
		}
	}
	if err := os.Mkdir(home, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the cluster's folder: %w", err)
	}
	return chownFor(home, cred)
}

// reachable tries it as that user: permissions of every parent, mount options and network file
// systems all have a say, and only the kernel knows the sum.
func reachable(dir string, cred *syscall.Credential) bool {
	cmd := exec.Command("/bin/sh", "-c", "umask 077 && : > probe && rm probe")
	cmd.Dir = dir
	return run(cmd, cred) == nil
}

// readPointer returns where the cluster lies when that is outside, else "". It accepts no place but
// those that home makes: --fresh deletes what it returns.
func (f folder) readPointer() (string, error) {
	text, err := os.ReadFile(f.state("cluster"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find the cluster: %w", err)
	}
	home := strings.TrimSuffix(string(text), "\n")
	if filepath.Dir(home) != outside || filepath.Clean(home) != home {
		return "", fmt.Errorf("%s names %q, which is no folder in %s: remove that file", f.state("cluster"), home, outside)
	}
	if info, err := os.Lstat(home); err == nil && !info.IsDir() {
		return "", fmt.Errorf("%s is not a folder: remove %s", home, f.state("cluster"))
	}
	return home, nil
}

// removeState deletes the cluster, wherever it lies, the secrets and the pointers to it, and nothing
// else in .kindred. Nothing is deleted when one of them is not what Kindred made.
func (f folder) removeState(ctx context.Context) error {
	pointed, err := f.readPointer()
	if err != nil {
		return err
	}
	if err := f.removeVolume(ctx); err != nil {
		return err
	}
	for _, home := range []string{f.state("postgres"), pointed} {
		if err := removeCluster(ctx, home); err != nil {
			return err
		}
	}
	for _, name := range []string{"cluster", "docker-volume", "secrets"} {
		if err := os.RemoveAll(f.state(name)); err != nil {
			return fmt.Errorf("start afresh: %w", err)
		}
	}
	return nil
}

func removeCluster(ctx context.Context, home string) error {
	if home == "" {
		return nil
	}
	lock, err := lockHome(home)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = endLeftover(ctx, filepath.Join(home, "data"))
	if err == nil {
		err = os.RemoveAll(home)
	}
	if err := errors.Join(err, lock.release()); err != nil {
		return fmt.Errorf("start afresh: %w", err)
	}
	return nil
}

// lockHome locks the cluster itself: a copied project folder points at the same one.
func lockHome(home string) (*folderLock, error) {
	lock, err := lockFolder(home)
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("%w, or in one that it was copied from: %s", ErrInUse, home)
	}
	return lock, err
}
