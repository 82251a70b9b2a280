package devdb

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Secret returns the secret of that name that belongs to the project folder dir: 32 random bytes in
// unpadded URL-safe base64, made at the first call and the same ever after, until --fresh. It lies in
// .kindred/secrets, which nobody but its owner can read. Of several processes that ask first at the
// same moment all get the same one.
func Secret(dir, name string) (string, error) {
	path, err := makeStateDir(dir)
	if err != nil {
		return "", err
	}
	secrets := filepath.Join(path, stateDir, "secrets")
	if err := os.Mkdir(secrets, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the folder for secrets: %w", err)
	}
	file := filepath.Join(secrets, filepath.Base(name))
	if secret, err := readSecret(file); !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	var random [32]byte
	rand.Read(random[:]) // never fails, by its contract
	unfinished, err := writeTemporary(secrets, base64.RawURLEncoding.EncodeToString(random[:]))
	if err != nil {
		return "", err
	}
	defer os.Remove(unfinished)
	// A link, unlike a rename, does not replace what another process has put there meanwhile.
	if err := os.Link(unfinished, file); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keep secret %s: %w", name, err)
	}
	return readSecret(file)
}

func readSecret(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(string(text)); err != nil || len(raw) != 32 {
		return "", fmt.Errorf("read secret: %s does not hold one, start anew with --fresh", file)
	}
	return string(text), nil
}

// writeFile replaces the file as a whole or not at all.
func writeFile(file, text string) error {
	unfinished, err := writeTemporary(filepath.Dir(file), text)
	if err != nil {
		return err
	}
	if err := os.Rename(unfinished, file); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Base(file), err), os.Remove(unfinished))
	}
	return nil
}

// writeTemporary writes text to a file of a new name, for its owner only, down to the disk.
func writeTemporary(dir, text string) (string, error) {
	file, err := os.CreateTemp(dir, ".unfinished-*")
	if err != nil {
		return "", fmt.Errorf("write in %s: %w", dir, err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write in %s: %w", dir, err), os.Remove(file.Name()))
	}
	return file.Name(), nil
}
